/*
** version.c - what this build is. The build system gives the values.
*/
#include "kernel.h"

#define BUILD(kernels) QE_COMPILER ", " QE_BUILD_TYPE ", kernels " kernels

const char *qe_version(void) {
  return QE_VERSION;
}

const char *qe_build(void) {
  if (kernel_choose("v4"))
    return BUILD("v4 v3 portable");
  return kernel_choose("v3") ? BUILD("v3 portable") : BUILD("portable");
}

qe_text qe_string(const char *text) {
  return (qe_text){ text, strlen(text) };
}
