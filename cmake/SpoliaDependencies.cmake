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
pkg_check_modules(XXHASH QUIET IMPORTED_TARGET libxxhash)
if(NOT XXHASH_FOUND)
    message(FATAL_ERROR "spolia needs xxHash: on Debian, apt-get install libxxhash-dev "
                        "(scripts/setup installs everything)")
endif()
spolia_require(nlohmann_json nlohmann-json3-dev)
spolia_require(CLI11 libcli11-dev)
spolia_require(tomlplusplus libtomlplusplus-dev)
spolia_require(spdlog libspdlog-dev)
spolia_require(Boost libboost1.81-dev 1.81)
spolia_require(prometheus-cpp prometheus-cpp-dev)
spolia_require(OpenSSL libssl-dev)
include(SpoliaLlama)
