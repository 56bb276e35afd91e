#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/core/local_service.h"
#include "tests/support/fake_engine.h"
#include "tests/support/fake_text_model.h"
#include "tests/support/recording_sink.h"

namespace spolia::test {

// One part of a prompt's text.
struct Part {
    SegmentRole role;
    std::string text;
};

// Text that the chunker leaves in one piece, different for each n.
std::string words(uint32_t n, size_t length);

// A prompt's tokens, by where they came from: all of them.
int32_t n_accounted(const Receipt& receipt);

// A service over fakes, with small bounds.
class CoreHarness {
public:
    CoreHarness();
    // Expects that no promise to the engine was broken.
    ~CoreHarness();

    void open();
    // Forgets all but the disk; options may be changed before.
    void reopen();

    GenerateRequest request(const std::vector<Part>& parts, int32_t tokens_max = 16,
                            Fidelity fidelity = Fidelity::kFast);
    struct Run {
        std::shared_ptr<RecordingSink> sink = std::make_shared<RecordingSink>();
        uint32_t seed = 0;
        GenerationId id = 0;
    };
    // Expects that the service takes the request.
    Run submit(GenerateRequest request) { return submit(std::move(request), Run()); }
    Run submit(GenerateRequest request, Run run);
    // Submits and waits for the end.
    Run run(GenerateRequest request);
    // Until the engine has encoded, captured and compared all that it wanted to.
    void wait_idle();
    Result<std::vector<ChunkInfo>> put(const std::string& tenant, const std::string& name,
                                       const std::string& text);

    // What a run sampled, and what the engine alone samples for the request.
    std::vector<Token> sampled(const Run& run) const { return sampled_.of(run.seed); }
    std::vector<Token> dense(const GenerateRequest& request) const;

    Service& service() { return *service_; }

    // Ends the service where a test's scope ends: declared behind the locals that hooks of
    // `control` refer to, it keeps the engine thread, shadows included, from outliving them.
    class EndsFirst {
    public:
        explicit EndsFirst(CoreHarness& core) : core_(core) {}
        ~EndsFirst() { core_.service_.reset(); }
        EndsFirst(const EndsFirst&) = delete;
        EndsFirst& operator=(const EndsFirst&) = delete;

    private:
        CoreHarness& core_;
    };

    FakeEngineOptions engine_options;
    ServiceOptions options;
    FakeEngineControl control;
    bool space_prefix = false;  // see FakeTextModel

private:
    SampledTokens sampled_;
    uint32_t next_seed_ = 1;
    std::unique_ptr<Service> service_;
};

}  // namespace spolia::test
