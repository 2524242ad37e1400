# CUDA kernel files: plain C++ that is compiled twice for the CPU, and once more by nvcc where there is one.
#
# kvlab_kernels(<target> FILES ...)
#   adds the kernels to the target: raw, with the build's own flags; checked: without optimisation, since each
#   access of the source is to be seen, and with calls to our functions before every one (step04_cuda/simt/hooks.cpp);
#   and with KVLAB_GPU what nvcc makes of them. The program chooses when it runs.
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
        target_include_directories(${object} PRIVATE ${PROJECT_SOURCE_DIR}/step04_cuda/include
            ${PROJECT_SOURCE_DIR}/step01_tensor/include)
        target_link_libraries(${object} PRIVATE kvlab_flags)
        target_compile_options(${object} PRIVATE ${KVLAB_WARNINGS} -Wno-unknown-pragmas)
        target_compile_definitions(${object} PRIVATE KVLAB_SIMT_CHECKED=${KVLAB_SIMT_CHECKED} KVLAB_HAS_GPU=${KVLAB_HAS_GPU})
        if(variant STREQUAL "checked")
            target_compile_options(${object} PRIVATE ${KVLAB_CHECKED_OPTIONS})
            target_compile_definitions(${object} PRIVATE KVLAB_KERNELS=checked KVLAB_IS_CHECKED=1)
        endif()
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
    endforeach()
    kvlab_nvcc_objects(${target} ${ARG_FILES})
endfunction()

# KVLAB_GPU=AUTO: with nvcc if there is one that works. Not with sanitizers: they do not know of the GPU's driver,
# which wants addresses that they have taken.
set(KVLAB_GPU AUTO CACHE STRING "Compile kernels for GPUs as well (needs nvcc): AUTO, ON or OFF")
set_property(CACHE KVLAB_GPU PROPERTY STRINGS AUTO ON OFF)
option(KVLAB_CUDART_SHARED "Link CUDA's runtime as a shared library; by default a program starts without the toolkit" OFF)
set(KVLAB_HAS_GPU 0)
if(KVLAB_GPU STREQUAL "AUTO" AND (KVLAB_FUZZ OR CMAKE_CXX_FLAGS MATCHES "-fsanitize="))
    message(STATUS "kvlab: sanitizer build: kernels are built for the CPU executor alone")
elseif(KVLAB_GPU STREQUAL "AUTO" AND CMAKE_CROSSCOMPILING)
    message(STATUS "kvlab: cross build: this machine's nvcc is not asked; kernels are built for the CPU executor alone")
elseif(KVLAB_GPU)  # AUTO, too
    find_program(KVLAB_NVCC nvcc HINTS $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
    if(KVLAB_NVCC AND NOT DEFINED ENV{CUDACXX})
        set(ENV{CUDACXX} ${KVLAB_NVCC})  # it may not be on the path
    endif()
    include(CheckLanguage)
    check_language(CUDA)  # whether it works, too
    if(CMAKE_CUDA_COMPILER)
        if(NOT DEFINED CUDAToolkit_ROOT)
            cmake_path(GET CMAKE_CUDA_COMPILER PARENT_PATH bin)
            cmake_path(GET bin PARENT_PATH CUDAToolkit_ROOT)  # the runtime of this nvcc, not of another one
        endif()
        find_package(CUDAToolkit QUIET)
    endif()
    set(KVLAB_CUDART CUDA::cudart_static)
    if(KVLAB_CUDART_SHARED)
        set(KVLAB_CUDART CUDA::cudart)
    endif()
    if(CMAKE_CUDA_COMPILER AND TARGET ${KVLAB_CUDART})
        set(KVLAB_HAS_GPU 1)
        message(STATUS "kvlab: kernels are also compiled for GPUs, by ${CMAKE_CUDA_COMPILER}")
    elseif(KVLAB_GPU STREQUAL "AUTO")
        message(STATUS "kvlab: no nvcc: kernels are built for the CPU executor alone")
    else()
        message(FATAL_ERROR "kvlab: KVLAB_GPU=${KVLAB_GPU} needs a CUDA toolkit: an nvcc that works (on the path, or named by the "
            "environment variable CUDACXX) and its runtime library")
    endif()
else()
    message(STATUS "kvlab: KVLAB_GPU is off: kernels are built for the CPU executor alone")
endif()

# As for the other compilers: no multiply and add that the source keeps apart may become one.
set(KVLAB_NVCC_FLAGS -std=c++20 -fmad=false -Xcompiler=-ffp-contract=off,-fPIC
    -I${PROJECT_SOURCE_DIR}/step04_cuda/include -I${PROJECT_SOURCE_DIR}/step01_tensor/include)
set(KVLAB_NVCC_ARCHITECTURES)
foreach(capability 75 80 90)
    list(APPEND KVLAB_NVCC_ARCHITECTURES -gencode arch=compute_${capability},code=compute_${capability})
endforeach()
if(KVLAB_WERROR)
    list(APPEND KVLAB_NVCC_FLAGS -Werror=all-warnings)
endif()

# kvlab_nvcc_objects(<target> <file>...)
#   compiles the files with nvcc and adds them to the target. What is kept is PTX and no machine code: the driver compiles
#   it when a kernel is first used, and keeps the result. So one build runs on every GPU from 7.5 on, those of tomorrow
#   included, and is what ptx_check.py has read. PTX for three compute capabilities, of which the driver takes the newest
#   that its GPU has: 7.5, the oldest that nvcc 13 knows; 8.0, which copies from global to shared memory asynchronously
#   (for 7.5 nvcc makes a load and a store of it, and the kernel waits for each); and 9.0.
#
#   These are commands of their own: CMake gives a file one language per folder, and here it is C++ already.
function(kvlab_nvcc_objects target)
    if(NOT KVLAB_HAS_GPU)
        return()
    endif()
    foreach(file IN LISTS ARGN)
        cmake_path(ABSOLUTE_PATH file OUTPUT_VARIABLE source)
        cmake_path(GET file STEM stem)
        set(object ${CMAKE_CURRENT_BINARY_DIR}/${target}_nvcc/${stem}.o)
        add_custom_command(OUTPUT ${object}
            COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/${target}_nvcc
            COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${CMAKE_CUDA_COMPILER} ${KVLAB_NVCC_FLAGS}
                ${KVLAB_NVCC_ARCHITECTURES} $<$<CONFIG:Release>:-O3> -MD -MF ${object}.d -c ${source} -o ${object}
            DEPENDS ${source} DEPFILE ${object}.d VERBATIM COMMAND_EXPAND_LISTS COMMENT "nvcc ${stem}.cu")
        target_sources(${target} PRIVATE ${object})
        set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
    endforeach()
endfunction()
