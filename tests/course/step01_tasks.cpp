// Chapter 1's tasks: numbers that lie next to one another, comparing, softmax, a norm, a turn,
// a draw.
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sampling.hpp>

#include "task_case.hpp"

using namespace kvlab;

KVLAB_TASK_CASE("1.1 ulp: neighbours are one apart on either side of zero") {
    const std::vector<float> a = given.floats("a"), b = given.floats("b");
    std::vector<Index> distances;
    for (std::size_t i = 0; i < a.size(); ++i)
        distances.push_back(static_cast<Index>(ulp_distance(a[i], b[i])));
    answer.integers("distance", distances);
}

KVLAB_TASK_CASE("1.2 compare: parts that follow one another add up to the whole") {
    const std::vector<Index> parts = given.integers("parts");  // [parts, 4]
    const std::vector<float> gaps = given.floats("max_abs");
    Difference whole;
    for (std::size_t i = 0; i < gaps.size(); ++i) {
        Difference part;
        part.count = parts[4 * i];
        part.differ = parts[4 * i + 1];
        part.first = parts[4 * i + 2];
        part.max_ulp = static_cast<std::uint64_t>(parts[4 * i + 3]);
        part.max_abs = static_cast<double>(gaps[i]);
        whole.merge(part);
    }
    const auto gap = static_cast<float>(whole.max_abs);
    answer.number("count", whole.count);
    answer.number("differ", whole.differ);
    answer.number("first", whole.first);
    answer.number("max_ulp", static_cast<Index>(whole.max_ulp));
    answer.floats("max_abs", std::span(&gap, 1));
}

KVLAB_TASK_CASE("1.3 softmax: weights below their integer maximum and their sum") {
    const std::vector<float> scores = given.floats("scores");
    std::vector<float> weights(scores.size());
    const float sum = softmax_weights(scores, weights);
    answer.floats("weights", weights);
    answer.floats("sum", std::span(&sum, 1));
}

KVLAB_TASK_CASE("1.4 layer norm: the mean first and then the squares") {
    const std::vector<float> x = given.floats("x"), weight = given.floats("weight"),
                             bias = given.floats("bias");
    std::vector<float> y(x.size()), in_place = x;
    const auto eps = static_cast<float>(given.real("eps"));
    const Index n = std::ssize(x);
    layer_norm(x.data(), weight.data(), bias.data(), eps, n, y.data());
    layer_norm(in_place.data(), weight.data(), bias.data(), eps, n, in_place.data());
    answer.floats("y", y);
    answer.floats("y over x", in_place);
}

KVLAB_TASK_CASE("1.5 rope: adjacent pairs turn by the position's angle") {
    std::vector<float> head = given.floats("head");
    const RopeTable table(given.number("positions"), given.number("rope_dim"),
                          given.real("base"));
    table.rotate(head.data(), given.number("position"));
    answer.floats("head", head);
}

KVLAB_TASK_CASE("1.6 draw: a place is drawn from the mass that is kept") {
    const std::vector<float> once = given.floats("weights"), draws = given.floats("uniform");
    std::vector<float> weights;
    for (Index i = 0; i < given.number("copies"); ++i)
        weights.insert(weights.end(), once.begin(), once.end());
    const float sum = given.floats("sum").front(), top_p = given.floats("top_p").front();
    std::vector<Index> places;
    for (const float uniform : draws) places.push_back(draw(weights, sum, top_p, uniform));
    answer.integers("places", places);
}
