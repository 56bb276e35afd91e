#pragma once

#include <memory>
#include <string>

#include "broker/rag/collection_store.h"
#include "broker/service.h"
#include "index/result.h"
#include "spolia/collection.h"

namespace spolia {

// Opens a tenant's collection of a store, or makes it; its chunks' KV is the service's business.
// `ingest_embedder` is the store's embedder, or another with the same vectors. Borrows all three.
Result<std::unique_ptr<Collection>> open_local_collection(Service& service, CollectionStore& store,
                                                          const TextEmbedder& ingest_embedder,
                                                          const std::string& tenant,
                                                          const std::string& name);

}  // namespace spolia
