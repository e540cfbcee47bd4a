/*
** scratch.h - a folder of its own for each test that writes files, and whole files in plain stdio.
*/
#ifndef SCRATCH_H
#define SCRATCH_H
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scratch {
  char folder[32], path[400]; /* path: what scratch_path returned last */
};

static inline void scratch_make(struct scratch *scratch) {
  strcpy(scratch->folder, "scratch.XXXXXX");
  if (!mkdtemp(scratch->folder))
    abort();
}

static inline const char *scratch_path(struct scratch *scratch, const char *name) {
  snprintf(scratch->path, sizeof scratch->path, "%s/%s", scratch->folder, name);
  return scratch->path;
}

static inline void scratch_put(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
    abort();
}

/* The bytes, to be freed, with a NUL behind them; NULL where there is no such file. */
static inline char *scratch_get(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  char *bytes = NULL;
  *size = 0;
  if (!file)
    return NULL;
  for (;;) {
    bytes = realloc(bytes, *size + 4096);
    if (!bytes)
      abort();
    size_t count = fread(bytes + *size, 1, 4095, file);
    *size += count;
    if (count == 0)
      break;
  }
  bytes[*size] = '\0';
  fclose(file);
  return bytes;
}

/* How many names a folder holds; -1 where there is none. */
static inline int scratch_count(const char *folder) {
  DIR *list = opendir(folder);
  int count = 0;
  if (!list)
    return -1;
  for (struct dirent *file; (file = readdir(list));)
    count += strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0;
  closedir(list);
  return count;
}

static inline void scratch_remove(const char *folder) {
  DIR *list = opendir(folder);
  char path[700];
  for (struct dirent *file; list && (file = readdir(list));) {
    if (strcmp(file->d_name, ".") == 0 || strcmp(file->d_name, "..") == 0)
      continue;
    snprintf(path, sizeof path, "%.400s/%.255s", folder, file->d_name);
    if (unlink(path) != 0)
      scratch_remove(path);
  }
  if (list)
    closedir(list);
  rmdir(folder);
}

#endif
