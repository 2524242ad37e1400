# Refuses at configure time what cannot give the bits of chapter 1: targets, compiler flags, and paths that the build's
# own tools cannot take. <kvlab/tensor/compiler.hpp> asks the compiler the same, as far as it says.

if(NOT KVLAB_LAST_STEP MATCHES "^[1-8]$")
    message(FATAL_ERROR "kvlab: KVLAB_LAST_STEP: expected 1 to 8, found '${KVLAB_LAST_STEP}'")
endif()
if(NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
    message(FATAL_ERROR "kvlab: expected a 64-bit target, found pointers of ${CMAKE_SIZEOF_VOID_P} bytes")
endif()
if(NOT CMAKE_CXX_BYTE_ORDER STREQUAL "LITTLE_ENDIAN")
    message(FATAL_ERROR "kvlab: expected a little-endian target, found ${CMAKE_CXX_BYTE_ORDER}")
endif()

# Flags that let a compiler or the start of a program change results. The contract's own -ffp-contract=off is added behind
# the user's flags, so those of contraction would be ignored rather than do harm; refused, they mislead nobody.
set(wrong_flags
    -Ofast -ffast-math -funsafe-math-optimizations -fassociative-math -freciprocal-math -ffinite-math-only
    -fno-signed-zeros -fno-honor-nans -fno-honor-infinities -fapprox-func -fsingle-precision-constant
    -ffp-contract=[^o].* -ffp-contract=on -ffp-model=[^s].* -ffp-eval-method=[^s].* -fdenormal-fp-math[-=].*
    -mfpmath=387 -mfpmath=.*[,+].* -mfpmath=both -mdaz-ftz -m32 -mx32)
list(JOIN wrong_flags "|" wrong_flags)
set(flag_variables CMAKE_CXX_COMPILER_ARG1 CMAKE_CXX_FLAGS CMAKE_EXE_LINKER_FLAGS)
set(configurations ${CMAKE_BUILD_TYPE} ${CMAKE_CONFIGURATION_TYPES})
if(NOT configurations)
    set(configurations Release)  # the default, see KvlabStep.cmake
endif()
foreach(configuration IN LISTS configurations)
    string(TOUPPER "${configuration}" configuration)
    list(APPEND flag_variables CMAKE_CXX_FLAGS_${configuration} CMAKE_EXE_LINKER_FLAGS_${configuration})
endforeach()
get_directory_property(KVLAB_GIVEN_OPTIONS COMPILE_OPTIONS)  # of a project that this one is a part of
list(JOIN KVLAB_GIVEN_OPTIONS " " KVLAB_GIVEN_OPTIONS)
foreach(variable IN LISTS flag_variables ITEMS KVLAB_GIVEN_OPTIONS)
    separate_arguments(flags UNIX_COMMAND "${${variable}}")
    foreach(flag IN LISTS flags)
        string(REGEX REPLACE "^-?-?(Xcompiler|Xclang)=?" "" flag "${flag}")
        if(flag MATCHES "^(${wrong_flags})$")
            message(FATAL_ERROR "kvlab: ${variable} has ${flag}, which changes the bits of results (chapter 1); remove it")
        endif()
    endforeach()
endforeach()

# A path becomes part of C++ literals, of Ninja's and make's files and of CMake's lists; these characters end one of them.
foreach(path IN ITEMS "${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}" "${KVLAB_DATA_DIR}")
    string(REGEX REPLACE "\\[[^][]*\\]" "" unpaired "${path}")
    if(path MATCHES "[\"\\\\$;#\n]" OR unpaired MATCHES "[][]")
        message(FATAL_ERROR "kvlab: the path '${path}' has a character that compilers and build tools cannot take: "
            "\" \\ $ ; # or an unpaired bracket")
    endif()
endforeach()
