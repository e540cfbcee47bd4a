/*
** pack.c - a model archive as a folder of its members and back. Packing derives what can be derived (the manifest's
** list of members), opens the result as a model and only then replaces the file; unpacking creates files in one folder
** that was empty, by names that the archive checks have reduced to single words, and removes them if it cannot finish.
** No other file is ever read, written or followed into.
*/
#include "file.h"
#include "members.h"
#include "model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- pack ---- */

struct packing {
  qe_archive *archive; /* what is made */
  qe_archive *members; /* what the folder holds, the manifest as it is there */
  json_t *manifest;
  char *text; /* of the new manifest */
  size_t text_size;
  const char *folder;
  size_t left; /* how many bytes may still be read */
};

/* Puts the folder in front of a message that does not name it yet. */
static int in_folder(struct packing *packing) {
  return packing->archive->error.status == QE_OK ? QE_OK : archive_failed(packing->archive, packing->folder);
}

/* "folder/name"; NULL: no memory. */
static char *join(const char *folder, const char *name) {
  const size_t before = strlen(folder), after = strlen(name);
  char *path = memory_new(before + after + 2, 1);
  if (!path)
    return NULL;
  memcpy(path, folder, before);
  path[before] = '/';
  memcpy(path + before + 1, name, after);
  return path;
}

/* A pipe would make the reader wait, so only regular files are opened. */
static int read_regular(const char *path, size_t limit, char **bytes, size_t *size, struct error *error) {
  struct stat found;
  if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
    return error_set(error, QE_FORMAT, "not a regular file");
  return file_read(path, limit, bytes, size, error);
}

static int read_member(struct packing *packing, const char *name) {
  struct error *error = &packing->archive->error, inner = { 0 };
  const bool small = strcmp(name, MANIFEST_MEMBER) == 0 && packing->left > MOST_MANIFEST;
  char *path = join(packing->folder, name), *bytes;
  size_t size;
  if (!path)
    return error_memory(error);
  int status = read_regular(path, small ? MOST_MANIFEST : packing->left, &bytes, &size, &inner);
  memory_free(path);
  if (status != QE_OK)
    return error_set(error, status, "%s: %s", name, inner.text);
  packing->left -= size;
  status = qe_archive_add(packing->members, name, bytes, size);
  memory_free(bytes);
  return status == QE_OK ? QE_OK : error_set(error, status, "%s", qe_archive_error(packing->members));
}

static int read_manifest(struct packing *packing) {
  json_error_t reason;
  if (read_member(packing, MANIFEST_MEMBER) != QE_OK)
    return packing->archive->error.status;
  const qe_text text = qe_archive_member(packing->members, 0);
  packing->manifest = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &reason);
  if (!packing->manifest)
    return error_set(&packing->archive->error, QE_FORMAT, MANIFEST_MEMBER ":%d: %s", reason.line, reason.text);
  if (!json_is_object(packing->manifest))
    return error_set(&packing->archive->error, QE_FORMAT, MANIFEST_MEMBER ": not a JSON object");
  return QE_OK;
}

static bool is_wanted(const struct packing *packing, const char *name) {
  const size_t place = member_place(name);
  const bool choice = place > MEMBER_WEIGHTS && place < MEMBER_MODEL_CARD;
  return place < MEMBER_PLACES &&
         (!choice || json_object_get(json_object_get(packing->manifest, "members"), name) != NULL);
}

static int refuse_unknown(struct packing *packing) {
  struct error *error = &packing->archive->error;
  const char *name;
  json_t *value;
  json_object_foreach(json_object_get(packing->manifest, "members"), name, value) {
    if (member_place(name) == MEMBER_PLACES)
      return error_set(error, QE_FORMAT, MANIFEST_MEMBER ": lists the member %.100s, which no model has", name);
  }
  DIR *folder = opendir(packing->folder);
  if (!folder)
    return error_set(error, QE_WORLD, "cannot open: %s", strerror(errno));
  for (struct dirent *file; error->status == QE_OK && (file = readdir(folder));)
    if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0 && !is_wanted(packing, file->d_name))
      error_set(error, QE_FORMAT, "%.100s: not a member of this model; its manifest does not list it",
                file->d_name);
  closedir(folder);
  return error->status;
}

static int read_others(struct packing *packing) {
  char room[MEMBER_NAME];
  for (size_t place = 0; place < MEMBER_PLACES; place++) {
    const char *name = member_name(place, room);
    if (place != MEMBER_MANIFEST && is_wanted(packing, name) && read_member(packing, name) != QE_OK)
      return packing->archive->error.status;
  }
  return QE_OK;
}

static int add(struct packing *packing, const char *name, const char *bytes, size_t size) {
  return qe_archive_add(packing->archive, name, bytes, size);
}

static int make_manifest(struct packing *packing) {
  struct error inner = { 0 };
  if (manifest_list_members(packing->manifest, packing->members, &inner) == QE_OK)
    packing->text = manifest_dump(packing->manifest, &packing->text_size, &inner);
  return packing->text ? QE_OK : error_set(&packing->archive->error, inner.status, "%s", inner.text);
}

/* A FORMAT of this version gets the new manifest's sum; any other stays, for opening to refuse. */
static int add_format(struct packing *packing, qe_text format) {
  static const char known[] = FORMAT_PREFIX "1.0 ";
  char line[FORMAT_ROOM];
  if (format.size < sizeof known - 1 || memcmp(format.data, known, sizeof known - 1) != 0)
    return add(packing, "FORMAT", format.data, format.size);
  manifest_format((qe_text){ packing->text, packing->text_size }, line);
  return add(packing, "FORMAT", line, strlen(line));
}

static int add_one(struct packing *packing, size_t place, const char *name, qe_text member) {
  if (place == MEMBER_FORMAT)
    return add_format(packing, member);
  if (place == MEMBER_MANIFEST)
    return add(packing, name, packing->text, packing->text_size);
  return add(packing, name, member.data, member.size);
}

static int add_in_order(struct packing *packing) {
  int status = make_manifest(packing);
  char room[MEMBER_NAME];
  for (size_t place = 0; place < MEMBER_PLACES && status == QE_OK; place++) {
    const char *name = member_name(place, room);
    const int number = qe_archive_find(packing->members, name);
    if (number >= 0)
      status = add_one(packing, place, name, qe_archive_member(packing->members, (size_t)number));
  }
  return status;
}

static int check_model(struct error *error, const char *bytes, size_t size) {
  qe_model *model = qe_model_new();
  if (!model)
    return error_memory(error);
  int status = qe_model_open_memory(model, bytes, size, 0);
  if (status != QE_OK)
    error_set(error, status, "%s", qe_model_error(model));
  qe_model_free(model);
  return status;
}

static int gather(struct packing *packing, char **bytes, size_t *size) {
  if (read_manifest(packing) != QE_OK || refuse_unknown(packing) != QE_OK || read_others(packing) != QE_OK ||
      add_in_order(packing) != QE_OK || archive_bytes(packing->archive, bytes, size) != QE_OK)
    return in_folder(packing);
  check_model(&packing->archive->error, *bytes, *size);
  return in_folder(packing);
}

/* The bytes that were checked are the bytes that are written. */
static int replace(qe_archive *archive, const char *path, const char *bytes, size_t size) {
  struct file_writer file;
  if (file_begin(&file, path, &archive->error) != QE_OK || file_append(&file, bytes, size) != QE_OK ||
      file_finish(&file) != QE_OK)
    archive_clear(archive);
  return archive->error.status;
}

int qe_pack(qe_archive *archive, const char *folder, const char *path) {
  struct packing packing = { .archive = archive, .folder = folder, .left = ARCHIVE_LIMIT };
  char *bytes = NULL;
  size_t size = 0;
  error_clear(&archive->error);
  archive_clear(archive);
  packing.members = qe_archive_new();
  if (!packing.members)
    return error_memory(&archive->error);
  if (gather(&packing, &bytes, &size) == QE_OK)
    replace(archive, path, bytes, size);
  memory_free(bytes);
  memory_free(packing.text);
  json_decref(packing.manifest);
  qe_archive_free(packing.members);
  return archive->error.status;
}

/* ---- unpack ---- */

static int check_members(const qe_archive *archive, struct error *error) {
  const int number = qe_archive_find(archive, MANIFEST_MEMBER);
  if (number < 0)
    return QE_OK;
  json_t *manifest = manifest_parse(qe_archive_member(archive, (size_t)number), error);
  if (!manifest)
    return error->status;
  manifest_check_members(manifest, archive, error);
  json_decref(manifest);
  return error->status;
}

/* The folder, open and empty, or -1; *made: it was not there before. */
static int open_empty(const char *folder, bool *made, struct error *error) {
  *made = mkdir(folder, 0777) == 0;
  if (!*made && errno != EEXIST)
    return error_set(error, QE_WORLD, "cannot make the folder: %s", strerror(errno)), -1;
  const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = descriptor < 0 ? NULL : opendir(folder);
  if (!list)
    error_set(error, QE_WORLD, "cannot open the folder: %s", strerror(errno));
  for (struct dirent *file; list && error->status == QE_OK && (file = readdir(list));)
    if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0)
      error_set(error, QE_WORLD, "the folder is not empty: it holds %.100s", file->d_name);
  if (list)
    closedir(list);
  if (error->status == QE_OK)
    return descriptor;
  if (descriptor >= 0)
    close(descriptor);
  return -1;
}

/* *created counts files that are there, finished or not. */
static int create_file(int folder, const struct member *member, size_t *created, struct error *error) {
  int file = openat(folder, member->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file < 0)
    return error_set(error, QE_WORLD, "cannot create %s: %s", member->name, strerror(errno));
  ++*created;
  if (!file_write(file, member->bytes, member->size) || fsync(file) != 0)
    error_set(error, QE_WORLD, "cannot write %s: %s", member->name, strerror(errno));
  if (close(file) != 0)
    error_set(error, QE_WORLD, "cannot write %s: %s", member->name, strerror(errno));
  return error->status;
}

static int create_files(const qe_archive *archive, const char *folder, struct error *error) {
  bool made = false;
  size_t created = 0;
  const int descriptor = open_empty(folder, &made, error);
  for (size_t i = 0; i < archive->count && error->status == QE_OK; i++)
    create_file(descriptor, &archive->members[i], &created, error);
  if (error->status != QE_OK) {
    for (size_t i = 0; i < created; i++)
      unlinkat(descriptor, archive->members[i].name, 0);
    if (made)
      rmdir(folder);
  }
  if (descriptor >= 0)
    close(descriptor);
  return error->status;
}

int qe_unpack(qe_archive *archive, const char *path, const char *folder) {
  if (qe_archive_open(archive, path, 0) != QE_OK)
    return archive->error.status;
  if (check_members(archive, &archive->error) != QE_OK)
    return archive_failed(archive, path);
  return create_files(archive, folder, &archive->error) == QE_OK ? QE_OK : archive_failed(archive, folder);
}
