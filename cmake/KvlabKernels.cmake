# CUDA kernel files on a CPU: plain C++ that is compiled twice, and once more by nvcc where there is one.
#
# kvlab_kernels(<target> FILES ...)
#   adds the kernels to the target: raw, with the build's own flags, and checked: without optimisation, since each
#   access of the source is to be seen, and with calls to our functions before every one (step04_cuda/simt/hooks.cpp).
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=[a-z,]*thread")
    set(KVLAB_SIMT_CHECKED 0)
    message(STATUS "kvlab: thread sanitizer build: its hooks are taken, so CUDA kernels are built raw only; their checked tests are skipped")
else()
    set(KVLAB_SIMT_CHECKED 1)
endif()

# What the sanitizers of a debug build would add to the checked kernels is switched off again: -fsanitize=thread
# cannot be had beside it. Line numbers are all that is needed of debug information.
set(KVLAB_CHECKED_OPTIONS -fno-sanitize=all -O0 -g1 -fsanitize=thread)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Otherwise a read directly before a write to the same place is not seen.
    list(APPEND KVLAB_CHECKED_OPTIONS "SHELL:-mllvm -tsan-instrument-read-before-write=1")
endif()

function(kvlab_kernels target)
    cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
    set_source_files_properties(${ARG_FILES} PROPERTIES LANGUAGE CXX)
    set(variants raw)
    if(KVLAB_SIMT_CHECKED)
        list(APPEND variants checked)
    endif()
    foreach(variant IN LISTS variants)
        set(object ${target}_${variant}_kernels)
        add_library(${object} OBJECT ${ARG_FILES})
        set_target_properties(${object} PROPERTIES POSITION_INDEPENDENT_CODE ON UNITY_BUILD OFF)
        target_include_directories(${object} PRIVATE ${PROJECT_SOURCE_DIR}/step04_cuda/include)
        target_link_libraries(${object} PRIVATE kvlab_flags)
        target_compile_options(${object} PRIVATE ${KVLAB_WARNINGS} -Wno-unknown-pragmas)
        if(variant STREQUAL "checked")
            target_compile_options(${object} PRIVATE ${KVLAB_CHECKED_OPTIONS})
            target_compile_definitions(${object} PRIVATE KVLAB_KERNELS=checked KVLAB_IS_CHECKED=1)
        endif()
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
    endforeach()
    kvlab_nvcc_objects(${target} ${ARG_FILES})
endfunction()

# kvlab_nvcc_objects(<name> <file>...)
#   compiles the files with nvcc, to see that they are CUDA. Nothing is linked: no GPU is needed.
find_program(KVLAB_NVCC nvcc HINTS $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
if(KVLAB_NVCC AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} ${KVLAB_NVCC})  # it may not be on the path
endif()
include(CheckLanguage)
check_language(CUDA)  # whether it works, too
if(CMAKE_CUDA_COMPILER)
    message(STATUS "kvlab: kernel files are also compiled by ${CMAKE_CUDA_COMPILER}, for sm_80 (none is run on a GPU)")
else()
    message(STATUS "kvlab: no nvcc: kernels are built for the CPU executor alone")
endif()

# As commands of their own: CMake gives a file one language per folder, and here it is C++ already.
function(kvlab_nvcc_objects name)
    if(NOT CMAKE_CUDA_COMPILER)
        return()
    endif()
    set(objects)
    foreach(file IN LISTS ARGN)
        cmake_path(ABSOLUTE_PATH file OUTPUT_VARIABLE source)
        cmake_path(GET file STEM stem)
        set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}_nvcc/${stem}.o)
        add_custom_command(OUTPUT ${object}
            COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/${name}_nvcc
            COMMAND ${CMAKE_CUDA_COMPILER} -std=c++20 -arch=sm_80 -fmad=false -Xcompiler=-ffp-contract=off
                $<$<BOOL:${KVLAB_WERROR}>:-Werror=all-warnings>
                -I${PROJECT_SOURCE_DIR}/step04_cuda/include -I${PROJECT_SOURCE_DIR}/step01_tensor/include
                -MD -MF ${object}.d -c ${source} -o ${object}
            DEPENDS ${source} DEPFILE ${object}.d VERBATIM COMMAND_EXPAND_LISTS COMMENT "nvcc ${stem}.cu")
        list(APPEND objects ${object})
    endforeach()
    add_custom_target(${name}_nvcc ALL DEPENDS ${objects})
endfunction()
