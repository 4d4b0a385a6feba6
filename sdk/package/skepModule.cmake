# skep_add_module(NAME SOURCES...): NAME.so, which exports its descriptor and nothing else.
function(skep_add_module name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE skep::skep)
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" C_VISIBILITY_PRESET hidden
                        CXX_VISIBILITY_PRESET hidden)
endfunction()

# skep_add_module_test(NAME SOURCES...): a program of cmocka tests, and the CTest test NAME that
# runs it.  skep_test_load("NAME", ...) in it finds the module that was just built.
function(skep_add_module_test name)
  add_executable(${name}_test ${ARGN})
  target_link_libraries(${name}_test PRIVATE skep::test)
  add_dependencies(${name}_test ${name})
  add_test(NAME ${name} COMMAND ${name}_test)
  set_property(TEST ${name} PROPERTY ENVIRONMENT "SKEP_TEST_MODULES=$<TARGET_FILE_DIR:${name}>")
endfunction()
