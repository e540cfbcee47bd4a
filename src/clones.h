/*
** clones.h - VECTOR_CLONES before a function compiles it for several kinds of x86-64 CPU; the dynamic linker takes the
** best at start. As -ffp-contract=off is given and nothing may be re-ordered, all clones give the same bits. Nothing
** elsewhere, and nothing under sanitizers whose start-up does not bear such functions (ifuncs).
*/
#ifndef QE_CLONES_H
#define QE_CLONES_H

#if defined(__x86_64__) && defined(__ELF__) && defined(__GNUC__) && !defined(__clang__) &&                         \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if __GNUC__ >= 12
#define VECTOR_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#endif
#endif

#ifndef VECTOR_CLONES
#define VECTOR_CLONES
#endif

#endif
