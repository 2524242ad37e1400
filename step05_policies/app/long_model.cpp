#include "long_model.hpp"

#include <kvlab/tensor/random.hpp>
#include <kvlab/weights/model_path.hpp>

namespace kvlab::app {

namespace {

// Written out, since the file may not be there.
Config smollm2_shape() {
    Config c;
    c.vocab = 49152;
    c.dim = 576;
    c.layers = 30;
    c.heads = 9;
    c.kv_heads = 3;
    c.head_dim = c.rope_dim = 64;
    c.ffn = 1536;
    c.tied_head = true;
    return c;
}

// False for a name that is no shape.
bool find_shape(const std::string& name, const SessionOptions& options, Config& shape) {
    if (name == "SmolLM2-shape") {
        shape = smollm2_shape();
    } else if (name == "tiny-shape" || name == "deep-shape") {
        const std::string file = name.substr(0, name.find('-'));
        shape = Config::from_metadata(
            GgufFile::open(find_model(file, options.source_weights)).metadata());
    } else {
        return false;
    }
    shape.name = name + ", random weights";
    shape.context = LongModel::kContext;
    return true;
}

}  // namespace

LongModel::LongModel(const SessionOptions& options) {
    Config shape;
    if (find_shape(options.model, options, shape)) {
        level_ = options.simd.empty() ? default_simd_level() : parse_simd_level(options.simd);
        own_engine_ = make_cpu_engine({options.threads == 0 ? 1 : options.threads, level_});
        engine_ = own_engine_.get();
        model_ = load_model(*make_synthetic(shape, 42), *engine_);
    } else {
        session_ = std::make_unique<Session>(options);
        engine_ = session_->engine.get();
        model_ = session_->model;
        level_ = session_->level;
    }
    decoder_ = std::make_unique<Decoder>(model_, *engine_);
}

std::vector<Token> LongModel::random_text(Index length) const {
    Rng rng(42);
    std::vector<Token> text(static_cast<std::size_t>(length));
    for (Token& token : text) token = static_cast<Token>(rng.below(config().vocab));
    return text;
}

}  // namespace kvlab::app
