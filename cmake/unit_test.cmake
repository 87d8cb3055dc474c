# unit_test(NAME [SERVER] [SOURCES file...] LIBS library...): one cmocka program of NAME.c, or of these
# sources, run by ctest.
# SERVER: the program starts PostgreSQL, RabbitMQ or Redis. Its label "server" says so to ctest, and it is
# one of the first to run, because it takes long.
pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)

function(unit_test name)
    cmake_parse_arguments(TEST "SERVER" "" "SOURCES;LIBS" ${ARGN})
    if(NOT TEST_SOURCES)
        set(TEST_SOURCES ${name}.c)
    endif()
    add_executable(${name} ${TEST_SOURCES})
    target_link_libraries(${name} PRIVATE ${TEST_LIBS} unit_support PkgConfig::cmocka)
    add_test(NAME ${name} COMMAND ${name})
    set(environment
        "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0"
        "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp")
    set_tests_properties(${name} PROPERTIES TIMEOUT 300 ENVIRONMENT "${environment}")
    if(TEST_SERVER)
        set_tests_properties(${name} PROPERTIES LABELS server COST 60)
    endif()
endfunction()
