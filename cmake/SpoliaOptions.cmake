set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
# An installed program finds libllama where it was linked from.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

option(SPOLIA_BUILD_TESTS "Build the tests and benches" ${PROJECT_IS_TOP_LEVEL})
option(SPOLIA_BUILD_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(SPOLIA_INSTALL "Install Spolia and export its targets" ${PROJECT_IS_TOP_LEVEL})
option(SPOLIA_UNIT_TESTS_ONLY "Build no other tests than unit tests" OFF)
option(SPOLIA_WERROR "Treat warnings as errors" OFF)
set(SPOLIA_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined")

set(SPOLIA_SAMPLE_MODEL "" CACHE FILEPATH
    "GGUF file that the program carries as its default model, in place of the one in broker/sample")
file(GLOB spolia_carried_model CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/broker/sample/*.gguf")
if(SPOLIA_SAMPLE_MODEL)
    set(spolia_carried_model "${SPOLIA_SAMPLE_MODEL}")
endif()

find_program(SPOLIA_CCACHE ccache)
if(SPOLIA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${SPOLIA_CCACHE}")
endif()

add_library(spolia_options INTERFACE)
target_compile_options(spolia_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
    $<$<BOOL:${SPOLIA_WERROR}>:-Werror>
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety;-Wno-string-conversion>)
target_include_directories(spolia_options INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
if(SPOLIA_SANITIZE)
    add_compile_options(-fsanitize=${SPOLIA_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${SPOLIA_SANITIZE})
endif()

# spolia_layer(NAME): a static library of every source file in the calling folder's tree. What it
# may link is the caller's business.
function(spolia_layer name)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS
        "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp" "${CMAKE_CURRENT_SOURCE_DIR}/*.h")
    list(FILTER sources EXCLUDE REGEX "/cli/")
    add_library(spolia_${name} STATIC ${sources})
    add_library(spolia::${name} ALIAS spolia_${name})
    set_target_properties(spolia_${name} PROPERTIES EXPORT_NAME ${name})
    target_compile_features(spolia_${name} PUBLIC cxx_std_20)
    target_link_libraries(spolia_${name} PUBLIC $<BUILD_INTERFACE:spolia_options>)
    target_include_directories(spolia_${name} PUBLIC
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/spolia/layers>)
endfunction()
