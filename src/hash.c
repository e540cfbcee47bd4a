/*
** hash.c - fingerprints of bytes, by libsodium. Nothing is kept between calls.
*/
#include "core.h"

#include <sodium.h>

void qe_sha256(const void *bytes, size_t size, char hex[65]) {
  unsigned char hash[crypto_hash_sha256_BYTES];
  crypto_hash_sha256(hash, bytes, size);
  sodium_bin2hex(hex, 65, hash, sizeof hash);
}
