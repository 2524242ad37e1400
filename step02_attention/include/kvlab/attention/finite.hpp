// finite.hpp - chapter 2: NaN and infinity are outside the contract, so they are located.
#pragma once

#include <span>
#include <string>

#include <kvlab/attention/observer.hpp>

namespace kvlab {

// Watches a step and keeps the first place where a number is not finite.
class FirstNonFinite final : public Observer {
public:
    void on(Op op,
            Index layer,
            const View<const float>& rows,
            std::span<const Index> positions) override;

    // "layer 3, query, position 17, element 5: inf"; empty if all were finite.
    const std::string& where() const { return where_; }

private:
    std::string where_;
};

}  // namespace kvlab
