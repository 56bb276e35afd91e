# Targets spolia::llama (llama.h, ggml.h) and spolia::llama_common (chat templates, grammars).
#
# Spolia reads llama.cpp's state format and walks its graph, so it is built against one release;
# the engine probes both when a model is loaded. scripts/setup leaves that release in SPOLIA_LLAMA_PREFIX.
set(SPOLIA_LLAMA_PREFIX "$ENV{SPOLIA_LLAMA_PREFIX}" CACHE PATH "Where llama.cpp is installed")
if(SPOLIA_LLAMA_PREFIX)
    list(PREPEND CMAKE_PREFIX_PATH "${SPOLIA_LLAMA_PREFIX}")
endif()
find_package(llama QUIET)
if(NOT llama_FOUND)
    message(FATAL_ERROR "spolia needs llama.cpp: run scripts/setup, or set SPOLIA_LLAMA_PREFIX to "
                        "where it is installed")
endif()
find_path(SPOLIA_LLAMA_COMMON_INCLUDE_DIR chat.h
    HINTS "${LLAMA_INCLUDE_DIR}" PATH_SUFFIXES llama-common REQUIRED)
find_library(SPOLIA_LLAMA_COMMON_LIBRARY llama-common HINTS "${LLAMA_LIB_DIR}" REQUIRED)

# llama.cpp's headers are not held to our warnings.
add_library(spolia_llama INTERFACE)
add_library(spolia::llama ALIAS spolia_llama)
target_include_directories(spolia_llama SYSTEM INTERFACE "${LLAMA_INCLUDE_DIR}")
target_link_libraries(spolia_llama INTERFACE llama)

add_library(spolia_llama_common INTERFACE)
add_library(spolia::llama_common ALIAS spolia_llama_common)
target_include_directories(spolia_llama_common SYSTEM INTERFACE "${SPOLIA_LLAMA_COMMON_INCLUDE_DIR}")
target_link_libraries(spolia_llama_common INTERFACE "${SPOLIA_LLAMA_COMMON_LIBRARY}" spolia::llama)
