// A model made of another one's first layers, which lends it its weights.
#include <kvlab/serving/drafts.hpp>

namespace kvlab {

namespace {

// A pointer that its owner never lets go of as long as the borrower lives: see take_back().
template <class T>
std::unique_ptr<T> lent(const std::unique_ptr<T>& owned) {
    return std::unique_ptr<T>(owned.get());
}

Norm lent(const Norm& norm) {
    return {lent(norm.weight), lent(norm.bias)};
}

Linear lent(const Linear& linear) {
    return {lent(linear.weight), lent(linear.bias)};
}

void take_back(Norm& norm) {
    static_cast<void>(norm.weight.release());
    static_cast<void>(norm.bias.release());
}

void take_back(Linear& linear) {
    static_cast<void>(linear.weight.release());
    static_cast<void>(linear.bias.release());
}

void take_back(Model& model) {
    for (auto* matrix : {&model.embedding, &model.positions, &model.head})
        static_cast<void>(matrix->release());
    take_back(model.final_norm);
    for (LayerWeights& layer : model.layers) {
        for (Norm* norm : {&layer.attention_norm, &layer.ffn_norm}) take_back(*norm);
        for (Linear* linear : {&layer.qkv, &layer.out, &layer.gate_up, &layer.down})
            take_back(*linear);
    }
}

}  // namespace

std::shared_ptr<const Model> first_layers(const std::shared_ptr<const Model>& model,
                                          Index layers) {
    check(model != nullptr, "first layers: no model");
    check(layers >= 1 && layers <= std::ssize(model->layers), "first layers: expected 1 to ",
          model->layers.size(), ", found ", layers);
    // The borrower holds the owner, and gives back every pointer before it is destroyed.
    const auto end = [owner = model](Model* borrower) {
        take_back(*borrower);
        delete borrower;
    };
    const std::shared_ptr<Model> first(new Model, end);
    first->config = model->config;
    first->config.layers = layers;
    first->source = concat(model->source, ", the first ", layers, " layers");
    first->embedding = lent(model->embedding);
    first->positions = lent(model->positions);
    first->final_norm = lent(model->final_norm);
    first->head = lent(model->head);
    first->rope = model->rope;
    first->layers.resize(usize(layers));
    for (Index l = 0; l < layers; ++l) {
        const LayerWeights& from = at(model->layers, l);
        at(first->layers, l) = {lent(from.attention_norm), lent(from.qkv),     lent(from.out),
                                lent(from.ffn_norm),       lent(from.gate_up), lent(from.down)};
    }
    return first;
}

}  // namespace kvlab
