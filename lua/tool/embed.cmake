# Writes the file IN as a C array NAME to the header OUT.
file(READ ${IN} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "static const unsigned char ${NAME}[] = {${bytes}};\nenum { ${NAME}_len = sizeof ${NAME} };\n")
