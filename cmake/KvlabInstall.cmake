# find_package(kvlab) after `cmake --install`: headers, static libraries, executables, tiny models.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
get_property(libraries GLOBAL PROPERTY KVLAB_LIBRARIES)
get_property(apps GLOBAL PROPERTY KVLAB_APPS)
install(TARGETS kvlab_flags ${libraries} EXPORT kvlabTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS ${apps} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(dir step01_tensor weights step02_attention step03_kvcache step04_cuda step05_policies step06_quant)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${dir}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
            OPTIONAL FILES_MATCHING PATTERN "*.hpp")
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/weights/ DESTINATION ${CMAKE_INSTALL_DATADIR}/kvlab
        FILES_MATCHING PATTERN "*.gguf" PATTERN "heldout.txt"
        PATTERN "downloads" EXCLUDE PATTERN "include" EXCLUDE PATTERN "src" EXCLUDE PATTERN "logs" EXCLUDE)
install(EXPORT kvlabTargets NAMESPACE kvlab:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kvlab)
set(of_step04)
if(KVLAB_LAST_STEP GREATER_EQUAL 4)
    set(of_step04 "find_dependency(Boost COMPONENTS context)\n")
    if(KVLAB_HAS_GPU)
        # What links kvlab::cuda links CUDA's runtime: that of the toolkit which built it, unless told otherwise.
        string(APPEND of_step04 "if(NOT DEFINED CUDAToolkit_ROOT)\n    set(CUDAToolkit_ROOT \"${CUDAToolkit_ROOT}\")\nendif()\n"
            "find_dependency(CUDAToolkit)\n")
    endif()
endif()
file(WRITE ${CMAKE_BINARY_DIR}/kvlabConfig.cmake
"include(CMakeFindDependencyMacro)\nfind_dependency(Threads)\n${of_step04}include(\${CMAKE_CURRENT_LIST_DIR}/kvlabTargets.cmake)\n")
write_basic_package_version_file(${CMAKE_BINARY_DIR}/kvlabConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/kvlabConfig.cmake ${CMAKE_BINARY_DIR}/kvlabConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kvlab)
