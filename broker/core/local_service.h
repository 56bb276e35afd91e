#pragma once

#include <memory>

#include "adapters/text_model.h"
#include "broker/core/service_options.h"
#include "broker/service.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

// A service over one engine in this process. The text model goes before the engine when the service
// is destroyed, so it may borrow from it. Fails when the store can't be opened, and on reuse
// defaults that no request could use.
Result<std::unique_ptr<Service>> open_service(std::unique_ptr<Engine> engine,
                                              std::unique_ptr<const TextModel> text,
                                              ServiceOptions options);

}  // namespace spolia
