// Uses one layer of an installed Spolia by itself.
#include <cstdio>

#include "index/result.h"

int main() {
    const spolia::Status status = spolia::Error{spolia::ErrorCode::kNotFound, "no such chunk"};
    std::printf("%s\n", std::string(to_string(status.error().code)).c_str());
    return status.ok() ? 1 : 0;
}
