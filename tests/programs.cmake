# One doctest program per step; each test case becomes one ctest entry.
find_package(doctest REQUIRED)
find_package(nlohmann_json REQUIRED)
include(doctest)

add_library(test_main OBJECT support/main.cpp)
target_link_libraries(test_main PRIVATE doctest::doctest)

# kvlab_tests(<program> [OF <step>] [COUNTS_ALLOCATIONS] [SOURCES ...] LINKS ...)
#   OF step05: every step05_*_test.cpp that is here, but for those that have a program of their own.
kvlab_glob_folder(here "${CMAKE_CURRENT_SOURCE_DIR}")
function(kvlab_tests program)
    cmake_parse_arguments(ARG "COUNTS_ALLOCATIONS" "OF" "SOURCES;LINKS" ${ARGN})
    if(ARG_OF)
        file(GLOB found CONFIGURE_DEPENDS "${here}/${ARG_OF}_*_test.cpp")
        list(FILTER found EXCLUDE REGEX "_(allocation|gpu|smollm2)_test.cpp$")
        list(APPEND ARG_SOURCES ${found})
    endif()
    add_executable(${program} $<TARGET_OBJECTS:test_main> ${ARG_SOURCES})
    target_link_libraries(${program} PRIVATE ${ARG_LINKS} doctest::doctest)
    target_include_directories(${program} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/support)
    target_compile_options(${program} PRIVATE ${KVLAB_WARNINGS} ${KVLAB_PROGRAM_OPTIONS})
    target_compile_definitions(${program} PRIVATE
        KVLAB_TEST_DATA="${KVLAB_DATA_DIR}/tests/data"
        KVLAB_SOURCE_DIR="${KVLAB_DATA_DIR}")
    if(ARG_COUNTS_ALLOCATIONS AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # GCC takes the inlined replacement of operator new for malloc (GCC bug 103993).
        target_compile_options(${program} PRIVATE -Wno-mismatched-new-delete)
    endif()
    doctest_discover_tests(${program} PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77 LABELS ${program})
endfunction()

kvlab_tests(step01_tests OF step01 LINKS kvlab::tensor nlohmann_json::nlohmann_json)
kvlab_tests(weights_tests OF weights LINKS kvlab::weights)
# Cases that need the real model: skipped (77) where weights/get_smollm2.py has not been run.
kvlab_tests(smollm2_tests
    SOURCES
        smollm2_tokenizer_test.cpp
        weights_smollm2_test.cpp
    LINKS kvlab::weights nlohmann_json::nlohmann_json)
if(KVLAB_LAST_STEP GREATER_EQUAL 2)
    kvlab_tests(step02_tests OF step02 LINKS kvlab::attention nlohmann_json::nlohmann_json)
    kvlab_tests(smollm2_logits_tests
        SOURCES smollm2_logits_test.cpp LINKS kvlab::attention nlohmann_json::nlohmann_json)
endif()
if(KVLAB_LAST_STEP GREATER_EQUAL 3)
    kvlab_tests(step03_tests OF step03 SOURCES equivalence_test.cpp golden_test.cpp LINKS kvlab::kvcache)
    if(TARGET kvlab_c)
        kvlab_tests(api_tests OF api LINKS kvlab::c)
        # The header is C, and not only for a compiler of C++.
        add_test(NAME api_header_is_c COMMAND ${CMAKE_CXX_COMPILER} -x c -std=c99 -Wall -Wextra -Wpedantic -Werror -fsyntax-only
            -I ${PROJECT_SOURCE_DIR}/api/include ${CMAKE_CURRENT_LIST_DIR}/consumer/c_api.c)
    endif()
    kvlab_tests(allocation_tests COUNTS_ALLOCATIONS SOURCES allocation_test.cpp LINKS kvlab::kvcache)
endif()
if(KVLAB_LAST_STEP GREATER_EQUAL 4)
    kvlab_tests(step04_tests OF step04 SOURCES support/chosen_device.cpp LINKS kvlab::cuda)
    kvlab_kernels(step04_tests FILES simt_kernels/bounds.cu simt_kernels/races.cu simt_kernels/waiting.cu simt_kernels/right.cu simt_kernels/borders.cu simt_kernels/contract.cu simt_kernels/async.cu simt_kernels/grids.cu simt_kernels/copies.cu
                  simt_kernels/words.cu simt_kernels/holes.cu
                  ${PROJECT_SOURCE_DIR}/step04_cuda/app/by_hand.cu ${PROJECT_SOURCE_DIR}/step04_cuda/app/transpose.cu)
    # The same cases with their kernels on the GPU, if there is one; skipped (77) where there is none. Left aside are the
    # cases about the executor itself and about host code, and those that only repeat a case with every access checked
    # (tools/gpu/check.sh names the same).
    add_test(NAME step04_on_device COMMAND step04_tests -ts=step04
        "-sfe=*_simt_test*,*_counters_*,*_device_*,*messages*,*misuse*" "-tce=*checked launches*,*are counted*,*is counted*,*counts as*,*host code never*,*reported*,*reports*,*report blocks*,*before the wait*,*room for*,*checks are*,*read once*,*through a pass*,*no sector twice*,*every sector whole*,*fewer sectors*,*that suits*,*in two launches*,*share a tile*,*SmolLM2*")
    set_tests_properties(step04_on_device PROPERTIES ENVIRONMENT KVLAB_TEST_DEVICE=gpu-or-skip SKIP_RETURN_CODE 77 TIMEOUT 900)
    if(KVLAB_HAS_GPU)
        # The fake has all of CUDA's runtime that is called. Should another toolkit call more, its library comes in behind
        # the fake, which stays the first.
        kvlab_tests(step04_gpu_tests SOURCES step04_gpu_test.cpp support/fake_cudart.cpp support/fake_cudart_graphs.cpp LINKS kvlab::cuda)
        kvlab_kernels(step04_gpu_tests FILES simt_kernels/right.cu)
        target_include_directories(step04_gpu_tests SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
        target_link_options(step04_gpu_tests PRIVATE LINKER:--allow-multiple-definition)
        # The fake reads CUDA's own headers, the test the project's vectors of the same names.
        set_target_properties(step04_gpu_tests PROPERTIES UNITY_BUILD OFF)
    endif()
endif()
if(KVLAB_LAST_STEP GREATER_EQUAL 5)
    kvlab_tests(step05_tests OF step05 LINKS kvlab::policies)
    kvlab_tests(step05_allocation_tests COUNTS_ALLOCATIONS SOURCES step05_allocation_test.cpp LINKS kvlab::policies)
endif()
if(KVLAB_LAST_STEP GREATER_EQUAL 6)
    kvlab_tests(step06_tests OF step06 LINKS kvlab::quant kvlab::policies)
    kvlab_tests(step06_allocation_tests COUNTS_ALLOCATIONS SOURCES step06_allocation_test.cpp LINKS kvlab::quant kvlab::policies)
endif()
if(KVLAB_LAST_STEP GREATER_EQUAL 7)
    kvlab_tests(step07_tests OF step07 LINKS kvlab::serving kvlab::quant kvlab::policies)
endif()
if(KVLAB_LAST_STEP GREATER_EQUAL 8)
    kvlab_tests(step08_tests OF step08 LINKS kvlab::architectures nlohmann_json::nlohmann_json)
    kvlab_tests(step08_allocation_tests COUNTS_ALLOCATIONS SOURCES step08_allocation_test.cpp LINKS kvlab::architectures)
endif()
