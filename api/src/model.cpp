#include <algorithm>

#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/text.hpp>

#include "decode.hpp"

using namespace kvlab;
using namespace kvlab::api;

namespace {

void fill(const Config& c, kvlab_config& to) {
    to.architecture = c.architecture == Architecture::gpt2 ? 1 : 0;
    to.tied_output = c.tied_output ? 1 : 0;
    to.vocab = c.vocab;
    to.dim = c.dim;
    to.layers = c.layers;
    to.heads = c.heads;
    to.kv_heads = c.kv_heads;
    to.head_dim = c.head_dim;
    to.ffn = c.ffn;
    to.context = c.context;
    to.rope_dim = c.rope_dim;
    to.rope_base = c.rope_base;
    to.norm_eps = c.norm_eps;
    copy_text(c.name, to.name);
}

}  // namespace

int kvlab_model_open(const char* path, kvlab_model* model) {
    return guarded("kvlab_model_open", [&] {
        require_pointer(path, "path");
        require_pointer(model, "model");
        as(KVLAB_BAD_FILE, [&] {
            OpenOptions options;
            options.model = path;
            options.threads = 1;
            model->id = models().add(std::make_shared<OpenModel>(options));
        });
    });
}

int kvlab_model_close(kvlab_model model) {
    return guarded("kvlab_model_close", [&] { models().remove(model.id); });
}

int kvlab_model_config(kvlab_model model, kvlab_config* config) {
    return guarded("kvlab_model_config", [&] {
        require_pointer(config, "config");
        fill(models().find(model.id)->model->config, *config);
    });
}

int kvlab_model_encode(
    kvlab_model model, const char* text, int32_t* tokens, int64_t room, int64_t* count) {
    return guarded("kvlab_model_encode", [&] {
        require_pointer(text, "text");
        require_pointer(count, "count");
        require_array(tokens, "tokens", {room});
        const std::vector<Token> found = models().find(model.id)->encode(text);
        *count = std::ssize(found);
        require_room(*count <= room, "tokens: ", *count, " of them, room for ", room);
        std::copy(found.begin(), found.end(), tokens);
    });
}

int kvlab_model_tensor_count(kvlab_model model, int64_t* count) {
    return guarded("kvlab_model_tensor_count", [&] {
        require_pointer(count, "count");
        *count = std::ssize(models().find(model.id)->file.tensors());
    });
}

int kvlab_model_tensor_info(kvlab_model model, int64_t i, kvlab_tensor_info* info) {
    return guarded("kvlab_model_tensor_info", [&] {
        require_pointer(info, "info");
        const auto opened = models().find(model.id);
        const auto tensors = opened->file.tensors();
        require(i >= 0 && i < std::ssize(tensors), "i: expected 0 to ", std::ssize(tensors) - 1,
                ", found ", i);
        const TensorInfo& tensor = at(tensors, i);
        require_room(tensor.name.size() < sizeof info->name, "tensor ", i,
                     ": its name has more than ", sizeof info->name - 1, " bytes");
        copy_text(tensor.name, info->name);
        info->rank = static_cast<int32_t>(tensor.shape.rank());
        for (Index axis = 0; axis < kMaxRank; ++axis)
            info->shape[axis] = axis < tensor.shape.rank() ? tensor.shape[axis] : 1;
    });
}

int kvlab_model_tensor(kvlab_model model, const char* name, float* values, int64_t floats) {
    return guarded("kvlab_model_tensor", [&] {
        require_pointer(name, "name");
        const auto opened = models().find(model.id);
        const TensorInfo* const tensor = opened->file.find(name);
        require(tensor != nullptr, "name: the model has no tensor ", quote(name));
        require_array(values, "values", {floats});
        require(floats == tensor->shape.size(), "floats: expected ", tensor->shape.size(),
                " for ", tensor->shape, ", found ", floats);
        const Tensor numbers = to_f32(*tensor);
        as(KVLAB_BAD_FILE, [&] { opened->file.release(*tensor); });  // unless it was cut short
        std::copy_n(numbers.data(), floats, values);
    });
}

int kvlab_model_logits(kvlab_model model,
                       const int32_t* tokens,
                       int64_t T,
                       kvlab_recording recording,
                       float* logits,
                       int64_t floats) {
    return guarded("kvlab_model_logits", [&] {
        const auto opened = models().find(model.id);
        const Config& config = opened->model->config;
        check_tokens(config, tokens, T);
        require_room(T <= config.context, "tokens: ", T, " of them, the context is ",
                     config.context);
        Decoder decoder(opened->model, *opened->engine);
        WholeSequence whole(decoder.kv_shape(), T, opened->level);
        run(decoder, whole, span_of(tokens, T), LogitsOf::all, recording, logits, floats);
    });
}
