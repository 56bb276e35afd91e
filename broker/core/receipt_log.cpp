#include "broker/core/receipt_log.h"

#include <algorithm>
#include <utility>

namespace spolia {

void ReceiptLog::add(std::string tenant, std::string id, const Receipt& receipt) {
    if (receipts_max_ == 0) return;
    if (entries_.size() >= receipts_max_) entries_.pop_front();
    entries_.push_back({std::move(tenant), std::move(id), receipt});
}

void ReceiptLog::measured(const std::string& tenant, const std::string& id, double kl,
                          bool same_first) {
    const auto found = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& entry) {
        return entry.id == id && entry.tenant == tenant;
    });
    if (found == entries_.rend()) return;
    found->receipt.measured_kl = kl;
    found->receipt.measured_same_first = same_first;
}

std::optional<Receipt> ReceiptLog::find(const std::string& tenant, const std::string& id) const {
    const auto found = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& entry) {
        return entry.id == id && entry.tenant == tenant;
    });
    if (found == entries_.rend()) return std::nullopt;
    return found->receipt;
}

}  // namespace spolia
