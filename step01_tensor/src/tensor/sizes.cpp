#include <kvlab/tensor/sizes.hpp>

#include <string>

namespace kvlab {

namespace {

[[noreturn]] void refuse(const char* what,
                         std::initializer_list<Index> parts,
                         const char* between) {
    std::string text;
    bool negative = false;
    for (const Index part : parts) {
        text += (text.empty() ? "" : between) + std::to_string(part);
        negative = negative || part < 0;
    }
    throw Error(
        concat(what, ": ", text,
               negative ? ": a size must not be negative" : " does not fit in 64 bits"));
}

}  // namespace

Index checked_product(const char* what, std::initializer_list<Index> factors) {
    Index product = 1;
    bool wrong = false;
    for (const Index factor : factors)
        wrong = factor < 0 || __builtin_mul_overflow(product, factor, &product) || wrong;
    if (wrong) refuse(what, factors, " x ");
    return product;
}

Index checked_sum(const char* what, std::initializer_list<Index> terms) {
    Index sum = 0;
    bool wrong = false;
    for (const Index term : terms)
        wrong = term < 0 || __builtin_add_overflow(sum, term, &sum) || wrong;
    if (wrong) refuse(what, terms, " + ");
    return sum;
}

void check_bytes(const char* what, Index bytes) {
    check(bytes >= 0 && bytes <= kMostBytes, what,
          ": expected memory of 0 to 2^47 bytes, found ", bytes);
}

void refuse_bytes(const char* what, Index bytes) {
    throw Error(concat(what, ": this machine has no room for ", bytes, " bytes"));
}

}  // namespace kvlab
