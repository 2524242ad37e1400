#include <kvlab/kvcache/kv_format.hpp>

#include <kvlab/kvcache/narrow_tiles.hpp>

namespace kvlab {

namespace {

template <class Rows>
MakeRows rows_of() {
    return [](const RowsShape& of) {
        return std::make_unique<Rows>(of.slots, of.kv_heads, of.head_dim);
    };
}

}  // namespace

Index KvFormat::row_bytes(Index head_dim) const {
    const Index numbers = head_dim * bits / 8;
    if (scales == Scales::none) return numbers;
    if (scales == Scales::of_row) return numbers + Index{sizeof(float)} * (sketch ? 2 : 1);
    return numbers + head_dim / kScaleBlock * (offset ? 4 : 2);
}

Index KvFormat::token_bytes(const KvShape& shape) const {
    check_kv_shape("kv bytes", shape);
    return shape.layers * shape.kv_heads *
           (of(true)->row_bytes(shape.head_dim) + of(false)->row_bytes(shape.head_dim));
}

std::span<const Format> kv_formats() {
    static constexpr Format kFormats[] = {&formats::f32, &formats::f16, &formats::int8};
    return kFormats;
}

std::vector<std::string> format_names(std::span<const Format> formats) {
    std::vector<std::string> names;
    for (const Format format : formats) names.emplace_back(format->name);
    return names;
}

Format find_kv_format(std::span<const Format> formats, const std::string& name) {
    std::string all;
    for (const Format format : formats) {
        if (name == format->name) return format;
        all += concat(all.empty() ? "" : ", ", format->name);
    }
    throw Error(concat("'", name, "' is no format of a cache; they are ", all));
}

MakeRows rows_in(Format format) {
    if (format == &formats::f16) return rows_of<F16Tiles>();
    if (format == &formats::int8) return rows_of<Int8Tiles>();
    check(format == &formats::f32, "kv cache: there are no rows of ", format->name);
    return float_rows();
}

std::unique_ptr<KvCache> make_cache(Format format,
                                    const KvShape& shape,
                                    Index capacity,
                                    SimdLevel level) {
    return std::make_unique<KvCache>(shape, capacity, rows_in(format), nullptr, level);
}

}  // namespace kvlab
