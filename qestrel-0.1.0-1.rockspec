package = "qestrel"
version = "0.1.0-1"
source = { url = "git+https://github.com/qestrel/qestrel", tag = "v0.1.0" }
description = {
  summary = "Machine-translation quality estimation, distilled",
  detailed = "Predicts how good a translation is without a reference: distillation recipes, model archives, reranking.",
  license = "MIT",
}
dependencies = { "lua ~> 5.4", "argparse" }
external_dependencies = {
  OPENBLAS = { header = "cblas.h" },
  LIBARCHIVE = { header = "archive.h" },
  UTF8PROC = { header = "utf8proc.h" },
  JANSSON = { header = "jansson.h" },
  SODIUM = { header = "sodium.h" },
}
build = {
  type = "cmake",
  variables = { CMAKE_INSTALL_PREFIX = "$(PREFIX)", CMAKE_BUILD_TYPE = "Release", BUILD_TESTING = "OFF" },
}
