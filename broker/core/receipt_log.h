#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>

#include "spolia/receipt.h"

namespace spolia {

// The last receipts, by request id, to be asked for when a shadow may have measured more. Not
// thread-safe.
class ReceiptLog {
public:
    explicit ReceiptLog(size_t receipts_max) : receipts_max_(receipts_max) {}

    void add(std::string tenant, std::string id, const Receipt& receipt);
    // What a shadow prefill says of the request's first token. Unknown ids are ignored.
    void measured(const std::string& tenant, const std::string& id, double kl, bool same_first);
    std::optional<Receipt> find(const std::string& tenant, const std::string& id) const;

private:
    struct Entry {
        std::string tenant;
        std::string id;
        Receipt receipt;
    };

    size_t receipts_max_;
    std::deque<Entry> entries_;  // oldest first
};

}  // namespace spolia
