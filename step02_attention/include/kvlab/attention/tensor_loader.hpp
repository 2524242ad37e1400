// tensor_loader.hpp - chapter 2: takes tensors out of a source, by name, into an engine.
//
// Every method throws Error, naming the source and the tensor, for one that is missing or has
// another shape.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/attention/model.hpp>

namespace kvlab {

class TensorLoader {
public:
    // Both must outlive this.
    TensorLoader(const WeightSource& source, Engine& engine)
        : source_(source), engine_(engine) {}

    std::unique_ptr<Buffer> vector(const std::string& name, Index n);

    // Plain floats in the caller's memory, of any shape: for what no matrix product reads.
    Tensor floats(const std::string& name, const Shape& shape);

    std::unique_ptr<Matrix> matrix(const std::string& name, Index outputs, Index depth);

    // Several matrices of the same depth, one after the other: names without ".weight", each
    // with its outputs.
    std::unique_ptr<Matrix> stacked(const std::string& prefix,
                                    const std::vector<std::pair<std::string, Index>>& parts,
                                    Index depth);

    // `name`.weight and, where there is one, `name`.bias.
    Norm norm(const std::string& name, Index n, bool bias);
    Linear linear(const std::string& name, Index outputs, Index depth, bool bias);

private:
    std::unique_ptr<Matrix> load(const std::vector<const TensorInfo*>& parts);

    const WeightSource& source_;
    Engine& engine_;
};

}  // namespace kvlab
