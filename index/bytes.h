#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "index/fingerprint.h"

// Files of our own are written as memory has them, so they are little endian.
static_assert(std::endian::native == std::endian::little);

namespace spolia {

template <class T>
requires std::is_arithmetic_v<T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// High, then low.
inline void put(std::string& out, const Key128& key) {
    put(out, key.high);
    put(out, key.low);
}

// u32 number of bytes, then these.
inline void put(std::string& out, const std::string& text) {
    put(out, static_cast<uint32_t>(text.size()));
    out += text;
}

// u32 number of elements, then these.
template <class T>
requires std::is_arithmetic_v<T>
void put(std::string& out, const std::vector<T>& values) {
    put(out, static_cast<uint32_t>(values.size()));
    out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Puts hash_bytes() of all that is in `out` behind it.
inline void put_checksum(std::string& out) { put(out, hash_text(out)); }

// Takes what put() wrote off the front of a byte string. Once it runs short it stays failed, and
// gives zeros and nothing.
class ByteReader {
public:
    explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

    template <class T>
    requires std::is_arithmetic_v<T> T take() {
        T value{};
        const std::string_view bytes = take_bytes(sizeof(T));
        if (ok_) std::memcpy(&value, bytes.data(), sizeof(T));
        return value;
    }
    Key128 take_key() {
        const auto high = take<uint64_t>();
        return {high, take<uint64_t>()};
    }
    std::string take_text() { return std::string(take_bytes(take<uint32_t>())); }
    template <class T>
    std::vector<T> take_vector() {
        const size_t n = take<uint32_t>();
        const std::string_view bytes = take_bytes(n * sizeof(T));
        std::vector<T> values(bytes.size() / sizeof(T));
        if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
        return values;
    }
    std::string_view take_bytes(size_t n) {
        if (n > rest_.size()) ok_ = false;
        if (!ok_) return {};
        const std::string_view bytes = rest_.substr(0, n);
        rest_.remove_prefix(n);
        return bytes;
    }

    bool ok() const { return ok_; }
    bool done() const { return ok_ && rest_.empty(); }

private:
    std::string_view rest_;
    bool ok_ = true;
};

// The bytes in front of a checksum that put_checksum() wrote, if it is theirs; else nothing.
inline std::string_view checked_bytes(std::string_view bytes) {
    constexpr size_t kChecksumBytes = 2 * sizeof(uint64_t);
    if (bytes.size() < kChecksumBytes) return {};
    const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
    const Key128 found = ByteReader(bytes.substr(body.size())).take_key();
    return found == hash_text(body) ? body : std::string_view();
}

}  // namespace spolia
