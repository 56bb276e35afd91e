# The installed tree: bin/spolia, one static library a layer, the public headers in include/spolia/,
# the headers of the layers behind them in include/spolia/layers/, and the CMake package `spolia`.
include(CMakePackageConfigHelpers)

set(spolia_layers index reuse anchors adapters broker)
set(spolia_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/spolia")

foreach(layer IN LISTS spolia_layers)
    install(TARGETS spolia_${layer} EXPORT spolia ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/${layer}"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/spolia/layers"
        FILES_MATCHING PATTERN "*.h" PATTERN include EXCLUDE)
endforeach()
install(TARGETS spolia_sdk EXPORT spolia)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/broker/include/spolia"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" OPTIONAL)
if(TARGET spolia)
    install(TARGETS spolia RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

install(EXPORT spolia NAMESPACE spolia:: FILE spoliaTargets.cmake
    DESTINATION "${spolia_package_dir}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/spoliaConfig.cmake.in"
    "${PROJECT_BINARY_DIR}/spoliaConfig.cmake"
    INSTALL_DESTINATION "${spolia_package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/spoliaConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/spoliaConfig.cmake"
    "${PROJECT_BINARY_DIR}/spoliaConfigVersion.cmake"
    "${PROJECT_SOURCE_DIR}/cmake/SpoliaLlama.cmake"
    DESTINATION "${spolia_package_dir}")
