/*
** family.h - several aligned students in one model, private to family.c, model.c and package.c.
*/
#ifndef QE_FAMILY_H
#define QE_FAMILY_H
#include "context.h"

struct family; /* read by all the models that have it, freed by the last */

/* Room for so many; NULL: no memory. */
struct family *family_new(size_t count);
struct family *family_hold(struct family *family);
void family_release(struct family *family);
/* Takes over a member, whatever happens: prepared, and like what the family's configuration says. */
int family_add(struct family *family, qe_model *member, const struct configuration *configuration,
               struct error *error);
size_t family_count(const struct family *family);
qe_model *family_member(const struct family *family, size_t number);

#endif
