# A missing package stops the configuration with the name of its Debian package.
macro(spolia_require package debian)
    find_package(${package} QUIET ${ARGN})
    if(NOT ${package}_FOUND)
        message(FATAL_ERROR "spolia needs ${package}: on Debian, apt-get install ${debian} "
                            "(scripts/setup installs everything)")
    endif()
endmacro()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
# The same for what has no CMake package.
macro(spolia_require_module prefix module debian)
    pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${module})
    if(NOT ${prefix}_FOUND)
        message(FATAL_ERROR "spolia needs ${module}: on Debian, apt-get install ${debian} "
                            "(scripts/setup installs everything)")
    endif()
endmacro()
spolia_require_module(XXHASH libxxhash libxxhash-dev)
spolia_require_module(UTF8PROC libutf8proc libutf8proc-dev)
spolia_require(OpenMP libomp-dev COMPONENTS CXX)  # which the target `faiss` names
spolia_require(faiss libfaiss-dev)
spolia_require(nlohmann_json nlohmann-json3-dev)
spolia_require(CLI11 libcli11-dev)
spolia_require(tomlplusplus libtomlplusplus-dev)
spolia_require(spdlog libspdlog-dev)
spolia_require(Boost libboost1.81-dev 1.81)
spolia_require(prometheus-cpp prometheus-cpp-dev)
spolia_require(OpenSSL libssl-dev)
spolia_require(SQLite3 libsqlite3-dev)
set(SPOLIA_LLAMA_DEFAULT_PREFIX "${PROJECT_SOURCE_DIR}/.deps/llama")
include(SpoliaLlama)
