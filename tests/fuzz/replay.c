/*
** replay.c - runs a fuzz target over every file of its corpus, so that what fuzzing once found stays found. With no
** file it fails: a missing corpus must not look like a pass.
*/
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file)
    return perror(path), 1;
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1); /* exact, so that reading beyond it is noticed */
  if (size < 0 || !bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size)
    return fprintf(stderr, "%s: cannot be read\n", path), 1;
  fclose(file);
  LLVMFuzzerTestOneInput(bytes, (size_t)size);
  free(bytes);
  return 0;
}

int main(int count, char **arguments) {
  DIR *folder = count == 2 ? opendir(arguments[1]) : NULL;
  if (!folder)
    return fprintf(stderr, "usage: %s CORPUS\n", arguments[0]), 2;
  int files = 0, failures = 0;
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (entry->d_name[0] == '.')
      continue;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", arguments[1], entry->d_name);
    failures += replay_file(path);
    files++;
  }
  closedir(folder);
  printf("%d inputs replayed\n", files);
  return failures > 0 || files == 0;
}
