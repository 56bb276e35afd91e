# Targets spolia::llama (llama.h, ggml.h) and spolia::llama_common (chat templates, grammars).
#
# Spolia reads llama.cpp's state format and walks its graph, so it is built against one release; the
# engine probes both when a model is loaded. It is looked for in SPOLIA_LLAMA_PREFIX, in
# SPOLIA_LLAMA_DEFAULT_PREFIX (where scripts/setup left it, or what an installed Spolia was built
# against), and last among the installed packages.
set(SPOLIA_LLAMA_PREFIX "$ENV{SPOLIA_LLAMA_PREFIX}" CACHE PATH "Where llama.cpp is installed")
set(spolia_llama_prefix "${SPOLIA_LLAMA_PREFIX}")
if(NOT spolia_llama_prefix AND EXISTS "${SPOLIA_LLAMA_DEFAULT_PREFIX}")
    set(spolia_llama_prefix "${SPOLIA_LLAMA_DEFAULT_PREFIX}")
endif()
if(spolia_llama_prefix)
    file(REAL_PATH "${spolia_llama_prefix}" spolia_llama_prefix)
    list(PREPEND CMAKE_PREFIX_PATH "${spolia_llama_prefix}")
endif()

# What was found in another prefix is looked for again.
if(NOT "${spolia_llama_prefix}" STREQUAL "${SPOLIA_LLAMA_FOUND_IN}")
    get_cmake_property(spolia_cached CACHE_VARIABLES)
    list(FILTER spolia_cached INCLUDE REGEX
        "^(llama_DIR|ggml_DIR|llama_LIBRARY|GGML_.*LIBRARY|SPOLIA_LLAMA_COMMON_.*)$")
    foreach(result IN LISTS spolia_cached)
        unset(${result} CACHE)
    endforeach()
endif()
set(SPOLIA_LLAMA_FOUND_IN "${spolia_llama_prefix}" CACHE INTERNAL "Prefix of the results")

find_package(llama QUIET)
if(NOT llama_FOUND)
    message(FATAL_ERROR "spolia needs llama.cpp: run scripts/setup, or set SPOLIA_LLAMA_PREFIX to "
                        "where it is installed")
endif()
if(NOT llama_VERSION MATCHES "^0\\.5\\.")
    message(FATAL_ERROR "spolia needs llama.cpp 0.5.x, but ${llama_DIR} is version "
                        "${llama_VERSION}: run scripts/setup, or set SPOLIA_LLAMA_PREFIX to where "
                        "0.5.x is installed")
endif()
find_path(SPOLIA_LLAMA_COMMON_INCLUDE_DIR json-schema-to-grammar.h
    HINTS "${LLAMA_INCLUDE_DIR}" PATH_SUFFIXES llama-common)
find_library(SPOLIA_LLAMA_COMMON_LIBRARY llama-common HINTS "${LLAMA_LIB_DIR}")
if(NOT SPOLIA_LLAMA_COMMON_INCLUDE_DIR OR NOT SPOLIA_LLAMA_COMMON_LIBRARY)
    message(FATAL_ERROR "spolia needs llama-common, library and headers, which llama.cpp does not "
                        "install by itself (looked in ${LLAMA_LIB_DIR} and ${LLAMA_INCLUDE_DIR}/"
                        "llama-common): run scripts/setup")
endif()

# Imported, so that llama.cpp's headers are not held to our warnings and an exported target can name
# them.
if(NOT TARGET spolia::llama)
    add_library(spolia::llama INTERFACE IMPORTED)
    target_include_directories(spolia::llama INTERFACE "${LLAMA_INCLUDE_DIR}")
    target_link_libraries(spolia::llama INTERFACE llama)

    add_library(spolia::llama_common INTERFACE IMPORTED)
    target_include_directories(spolia::llama_common INTERFACE "${SPOLIA_LLAMA_COMMON_INCLUDE_DIR}")
    target_link_libraries(spolia::llama_common INTERFACE
        "${SPOLIA_LLAMA_COMMON_LIBRARY}" spolia::llama)
endif()
