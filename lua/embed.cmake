# Writes OUTPUT, a C file that holds Lua files as bytes: those of FILES, relative to ROOT, under the names by which
# `require` finds them, and those of EXTRA, by their own names. See sources.h.
#   cmake -DOUTPUT=out.c -DROOT=lua "-DFILES=qestrel/a.lua;qestrel/b/c.lua" "-DEXTRA=/usr/share/lua/5.4/d.lua" -P embed.cmake
set(arrays "")
set(entries "")
set(number 0)

macro(embed file name)
  file(READ ${file} hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "(................................)" "\\1\n  " lines "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${lines}")
  string(APPEND arrays "static const unsigned char source_${number}[] = {\n  ${bytes}0x00\n};\n")
  string(APPEND entries "  { \"${name}\", source_${number}, ${size} },\n")
  math(EXPR number "${number} + 1")
endmacro()

foreach(path IN LISTS FILES)
  string(REGEX REPLACE "\\.lua$" "" name ${path})
  string(REPLACE "/" "." name ${name})
  embed(${ROOT}/${path} ${name})
endforeach()
foreach(path IN LISTS EXTRA)
  get_filename_component(name ${path} NAME_WE)
  embed(${path} ${name})
endforeach()
file(WRITE ${OUTPUT} "/* Written by embed.cmake. */\n#include \"sources.h\"\n\n${arrays}
const struct source qestrel_sources[] = {\n${entries}  { NULL, NULL, 0 },\n};\n")
