#include <kvlab/tensor/tensor_type.hpp>

#include <algorithm>
#include <cctype>
#include <string>

namespace kvlab {

namespace {

struct TypeFacts {
    TensorType type;
    const char* name;
    Index elements, bytes;  // of one block
};

constexpr TypeFacts kFacts[] = {
    {TensorType::f32, "F32", 1, 4},       {TensorType::f16, "F16", 1, 2},
    {TensorType::bf16, "BF16", 1, 2},     {TensorType::q8_0, "Q8_0", 32, 34},
    {TensorType::q4_0, "Q4_0", 32, 18},   {TensorType::q4_1, "Q4_1", 32, 20},
    {TensorType::q4_k, "Q4_K", 256, 144},
};

const TypeFacts& facts(TensorType type) {
    for (const TypeFacts& entry : kFacts)
        if (entry.type == type) return entry;
    throw Error(concat("tensor type: number ", static_cast<std::uint32_t>(type),
                       " is not one that kvlab knows"));
}

}  // namespace

std::optional<TensorType> tensor_type_from_number(std::uint32_t number) {
    for (const TypeFacts& entry : kFacts)
        if (static_cast<std::uint32_t>(entry.type) == number) return entry.type;
    return std::nullopt;
}

std::optional<TensorType> tensor_type_from_name(std::string_view name) {
    std::string upper(name);
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    for (const TypeFacts& entry : kFacts)
        if (upper == entry.name) return entry.type;
    return std::nullopt;
}

const char* type_name(TensorType type) {
    return facts(type).name;
}

Index block_elements(TensorType type) {
    return facts(type).elements;
}

Index block_bytes(TensorType type) {
    return facts(type).bytes;
}

bool is_quantized(TensorType type) {
    return block_elements(type) > 1;
}

Index bytes_for(TensorType type, Index count) {
    const TypeFacts& entry = facts(type);
    check(count >= 0 && count % entry.elements == 0, entry.name, ": expected a multiple of ",
          entry.elements, " numbers, found ", count);
    return checked_product(entry.name, {count / entry.elements, entry.bytes});
}

void check_sizes(const char* verb, TensorType type, std::size_t numbers, std::size_t bytes) {
    const auto count = static_cast<Index>(numbers);
    check(count % block_elements(type) == 0, verb, " ", type_name(type),
          ": expected a multiple of ", block_elements(type), " numbers, found ", numbers);
    check(bytes == usize(bytes_for(type, count)), verb, " ", type_name(type), ": expected ",
          bytes_for(type, count), " bytes for ", numbers, " numbers, found ", bytes);
}

}  // namespace kvlab
