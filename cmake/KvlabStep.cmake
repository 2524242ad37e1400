# One function per step, so that a step's own CMakeLists.txt is a handful of lines.
find_package(Threads REQUIRED)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# What every target of the project is compiled with. -ffp-contract=off is part of the numeric
# contract (chapter 1): the compiler may not fuse a multiply and an add that the source keeps apart.
add_library(kvlab_flags INTERFACE)
target_compile_features(kvlab_flags INTERFACE cxx_std_20)
target_compile_options(kvlab_flags INTERFACE -ffp-contract=off)

# Warnings are for our own compilation only; users of an installed kvlab do not inherit them.
set(KVLAB_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wdouble-promotion)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    list(APPEND KVLAB_WARNINGS -Wno-restrict)  # false alarms on std::string's operator+ (GCC bug 105651)
endif()
# Programs and tests spend their time in the libraries; compiling them at -O3 would only take longer,
# and with sanitizers (Debug) even -O1 takes twice as long as -O0.
set(KVLAB_PROGRAM_OPTIONS $<$<CONFIG:Release>:-O1> $<$<CONFIG:Debug>:-O0>)
if(KVLAB_WERROR)
    list(APPEND KVLAB_WARNINGS -Werror)
endif()

# Everything that a fuzzer links reports its coverage to it, and its errors.
if(KVLAB_FUZZ)
    add_compile_options(-g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
endif()

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" KVLAB_PROCESSOR)
if(KVLAB_PROCESSOR MATCHES "x86_64|amd64" AND NOT KVLAB_SCALAR)
    set(KVLAB_SIMD_LEVELS portable avx2 avx512)
else()
    set(KVLAB_SIMD_LEVELS portable)
endif()

# The folder as file(GLOB) has to be told it: a bracket in its name would be read as a pattern.
function(kvlab_glob_folder variable folder)
    string(REPLACE "[" "[[]" folder "${folder}")
    set(${variable} "${folder}" PARENT_SCOPE)
endfunction()

# kvlab_library(<name> [FOLDER <folder>] [SOURCES ...] [LINKS ...])
#   target kvlab_<name>, alias kvlab::<name>, of every source in src/ (or <folder>) and below, and of
#   those that lie elsewhere. A *.simd.cpp is compiled once per level, each time with that level's
#   instructions and KVLAB_SIMD set to the level's name (see simd.hpp).
function(kvlab_library name)
    cmake_parse_arguments(ARG "" "FOLDER" "SOURCES;LINKS" ${ARGN})
    if(NOT ARG_FOLDER)
        set(ARG_FOLDER src)
    endif()
    kvlab_glob_folder(here "${CMAKE_CURRENT_SOURCE_DIR}")
    file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" "${here}/${ARG_FOLDER}/*.cpp")
    set(ARG_SIMD ${found})
    list(FILTER ARG_SIMD INCLUDE REGEX "\\.simd\\.cpp$")
    list(FILTER found EXCLUDE REGEX "\\.simd\\.cpp$")
    list(APPEND ARG_SOURCES ${found})
    set(target kvlab_${name})
    add_library(${target} STATIC ${ARG_SOURCES})
    add_library(kvlab::${name} ALIAS ${target})
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
    target_include_directories(${target} PUBLIC
        $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
    target_link_libraries(${target} PUBLIC kvlab_flags ${ARG_LINKS} PRIVATE Threads::Threads)
    target_compile_options(${target} PRIVATE ${KVLAB_WARNINGS})
    foreach(level IN LISTS KVLAB_SIMD_LEVELS)
        if(ARG_SIMD)
            kvlab_simd_level(${name} ${level} ${ARG_SIMD})
        endif()
    endforeach()
    set_property(GLOBAL APPEND PROPERTY KVLAB_LIBRARIES ${target})
endfunction()

# kvlab_simd_level(<library> <level> <sources>...)
#   compiles these kernel sources of kvlab_<library> for one more level; the other sources see KVLAB_HAS_<level>.
function(kvlab_simd_level name level)
    set(target kvlab_${name})
    add_library(${target}_${level} OBJECT ${ARGN})
    target_include_directories(${target}_${level} PRIVATE
        $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
    target_link_libraries(${target}_${level} PRIVATE kvlab_flags)
    set_target_properties(${target}_${level} PROPERTIES POSITION_INDEPENDENT_CODE ON UNITY_BUILD OFF)
    target_compile_definitions(${target}_${level} PRIVATE KVLAB_SIMD=${level})
    target_compile_options(${target}_${level} PRIVATE ${KVLAB_WARNINGS} ${KVLAB_FLAGS_${level}})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${level}>)
    target_compile_definitions(${target} PRIVATE KVLAB_HAS_${level})
endfunction()

set(KVLAB_FLAGS_portable "")
set(KVLAB_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(KVLAB_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 warns of its own AVX-512 header (undefined registers that are never read; GCC bug 105593).
    list(APPEND KVLAB_FLAGS_avx512 -Wno-maybe-uninitialized -Wno-uninitialized)
endif()

# kvlab_list_files(FOLDER <folder> PREFIX <prefix> TYPE <type> INCLUDE <header> HEADER <name> ARRAY <name>)
#   writes a header that lists a function <prefix><file>() for each source in the folder, each giving a
#   std::span<const TYPE>: so a file that is put there is found, and listed nowhere else.
function(kvlab_list_files)
    cmake_parse_arguments(ARG "" "FOLDER;PREFIX;TYPE;INCLUDE;HEADER;ARRAY" "" ${ARGN})
    kvlab_glob_folder(here "${CMAKE_CURRENT_SOURCE_DIR}")
    file(GLOB found CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" "${here}/${ARG_FOLDER}/*.cpp")
    set(KVLAB_LIST_DECLARATIONS "")
    set(KVLAB_LIST_NAMES "")
    foreach(source IN LISTS found)
        get_filename_component(name ${source} NAME_WE)
        string(APPEND KVLAB_LIST_DECLARATIONS "std::span<const ${ARG_TYPE}> ${ARG_PREFIX}${name}();\n")
        string(APPEND KVLAB_LIST_NAMES "    ${ARG_PREFIX}${name},\n")
    endforeach()
    set(source ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/file_list.hpp.in)
    configure_file(${source} ${CMAKE_CURRENT_BINARY_DIR}/src/${ARG_HEADER} @ONLY)
endfunction()

# kvlab_step(<number> <name> [SOURCES ...] [LINKS ...])
#   the step's library kvlab::<name>, unless KVLAB_PROGRAMS is off its executable step<number>_<name> from all of
#   app/, and with KVLAB_BENCH its benchmark step<number>_<name>_bench from bench.cpp.
function(kvlab_step number name)
    kvlab_library(${name} ${ARGN})
    if(NOT KVLAB_PROGRAMS)
        return()
    endif()
    find_package(CLI11 REQUIRED)
    find_package(nlohmann_json REQUIRED)
    kvlab_glob_folder(here "${CMAKE_CURRENT_SOURCE_DIR}")
    file(GLOB_RECURSE app CONFIGURE_DEPENDS "${here}/app/*.cpp")
    add_executable(step${number}_${name} ${app})
    target_link_libraries(step${number}_${name} PRIVATE
        kvlab::${name} CLI11::CLI11 nlohmann_json::nlohmann_json)
    target_include_directories(step${number}_${name} PRIVATE app)  # for those in folders below
    # Compiled together, in any build: each file by itself would read CLI11 for three seconds.
    set_target_properties(step${number}_${name} PROPERTIES UNITY_BUILD ON)
    target_compile_options(step${number}_${name} PRIVATE ${KVLAB_WARNINGS} ${KVLAB_PROGRAM_OPTIONS})
    target_compile_definitions(step${number}_${name} PRIVATE
        KVLAB_SOURCE_WEIGHTS="${KVLAB_DATA_DIR}/weights")
    set_property(GLOBAL APPEND PROPERTY KVLAB_APPS step${number}_${name})
    if(KVLAB_BENCH)
        find_package(benchmark REQUIRED)
        add_executable(step${number}_${name}_bench bench.cpp)
        target_link_libraries(step${number}_${name}_bench PRIVATE
            kvlab::${name} benchmark::benchmark_main)
        target_compile_options(step${number}_${name}_bench PRIVATE ${KVLAB_WARNINGS})
    endif()
endfunction()
