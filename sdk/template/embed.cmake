# cmake -DOUT=FILE.c -P embed.cmake: the templates of this folder as a table of C strings, so that
# skepctl needs no folder of its own at run time.
set(names CMakeLists.txt README.md example.conf module.c module_test.c)
set(text "/* Made from sdk/template by embed.cmake. */\n#include \"ctl/template.h\"\n\n")
set(rows "")
set(number 0)
foreach(name ${names})
  file(READ ${CMAKE_CURRENT_LIST_DIR}/${name} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n    "
         bytes "${bytes}")
  string(APPEND text "static const char file_${number}[] = {\n    ${bytes}0};\n\n")
  string(APPEND rows "    {\"${name}\", file_${number}},\n")
  math(EXPR number "${number} + 1")
endforeach()
string(APPEND text "const struct template_file template_files[] = {\n${rows}};\n"
       "const unsigned template_file_count = ${number};\n")
file(WRITE ${OUT} "${text}")
