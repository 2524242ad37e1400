#include <kvlab/weights/gguf_file.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "gguf_format.hpp"
#include "mapped_file.hpp"
#include "type_names.hpp"

namespace kvlab {

// Walks the file once, front to back. Nothing is believed: every count is compared with the
// bytes that are left before anything is allocated for it, so memory stays proportional
// to the file.
class GgufParser {
public:
    GgufParser(std::span<const std::byte> bytes, std::string name) : bytes_(bytes) {
        file_.name_ = std::move(name);
        file_.metadata_ = Metadata(file_.name_);
        file_.file_bytes_ = std::ssize(bytes);
    }

    GgufFile parse() {
        header();
        for (std::uint64_t i = 0; i < key_count_; ++i) key_value(i);
        file_.alignment_ = gguf::alignment_of(file_.metadata_, file_.name_);
        for (std::uint64_t i = 0; i < tensor_count_; ++i) tensor_info(i);
        place_tensors();
        return std::move(file_);
    }

private:
    // "<file>: <the thing being read><field>", as every message begins.
    std::string at(const std::string& field) const {
        return file_.name_ + ": " + where_ + field;
    }

    std::size_t left() const { return bytes_.size() - position_; }

    // The next `count` bytes, which belong to `field`.
    std::span<const std::byte> take(std::size_t count, const char* field) {
        if (count > left()) [[unlikely]]
            throw Error(concat(at(field), ": expected ", count, " bytes at byte ", position_,
                               ", found ", left(), " before the end of the file"));
        const auto taken = bytes_.subspan(position_, count);
        position_ += count;
        return taken;
    }

    template <class T>
    T read(const char* field) {
        T value;
        std::memcpy(&value, take(sizeof value, field).data(), sizeof value);
        return value;
    }

    std::string_view read_string(const char* field) {
        const auto length = read<std::uint64_t>(field);
        check_fits(length, 1, field);
        const auto text = take(static_cast<std::size_t>(length), field);
        return {reinterpret_cast<const char*>(text.data()), text.size()};
    }

    // Throws unless `count` things of at least `each` bytes can follow.
    void check_fits(std::uint64_t count, std::size_t each, const char* field) const {
        if (count > left() / each) [[unlikely]]
            throw Error(concat(at(field), ": expected at most ", left() / each,
                               " (the file ends after that), found ", count));
    }

    void header();
    void key_value(std::uint64_t number);
    MetaValue value(std::uint32_t type);
    template <class T>
    T element();
    template <std::size_t Type = 0>
    MetaValue scalar(std::uint32_t type);
    template <std::size_t Type = 0>
    MetaArray array(std::uint32_t type, std::uint64_t count);
    void tensor_info(std::uint64_t number);
    Shape shape();
    void place_tensors();
    void check_overlaps() const;

    std::span<const std::byte> bytes_;
    std::size_t position_ = 0;
    std::string where_;
    std::uint64_t key_count_ = 0, tensor_count_ = 0;
    std::vector<std::uint64_t> offsets_;  // of file_.tensors_, as written
    GgufFile file_;
};

void GgufParser::header() {
    const auto magic = take(4, "magic");
    const std::string_view found(reinterpret_cast<const char*>(magic.data()), magic.size());
    check(found == gguf::kMagic, at("magic"), ": expected 'GGUF', found ", quote(found));
    file_.version_ = read<std::uint32_t>("version");
    check((file_.version_ & 0xffffu) != 0 || file_.version_ == 0, at("version"),
          ": expected a little-endian file, found a big-endian one");
    check(file_.version_ == 2 || file_.version_ == gguf::kVersion, at("version"),
          ": expected 2 or ", gguf::kVersion, ", found ", file_.version_);
    tensor_count_ = read<std::uint64_t>("tensor count");
    key_count_ = read<std::uint64_t>("key count");
    // The shortest key: length, one byte, type, one byte of value. The shortest tensor: length,
    // one byte, n_dims, one extent, type, offset.
    check_fits(key_count_, 8 + 1 + 4 + 1, "key count");
    check_fits(tensor_count_, 8 + 1 + 4 + 8 + 4 + 8, "tensor count");
}

void GgufParser::key_value(std::uint64_t number) {
    where_ = concat("key ", number);
    const std::string_view key = read_string(" name");
    gguf::check_name(key, gguf::kLongestKey, at(" name"));
    where_ = "key " + quote(key);
    check(!file_.metadata_.contains(key), at(""), ": expected once, found again as key ",
          number);
    const auto type = read<std::uint32_t>(" type");
    check(type < gguf::kTypeCount, at(" type"), ": expected 0 to ", gguf::kTypeCount - 1,
          ", found ", type);
    file_.metadata_.set(key, value(type));
}

MetaValue GgufParser::value(std::uint32_t type) {
    if (type != gguf::kArrayType) return scalar(type);
    const auto inner = read<std::uint32_t>(" element type");
    check(inner < gguf::kTypeCount && inner != gguf::kArrayType, at(" element type"),
          ": expected 0 to ", gguf::kTypeCount - 1, " but not ", gguf::kArrayType,
          " (an array), found ", inner);
    return array(inner, read<std::uint64_t>(" element count"));
}

template <class T>
T GgufParser::element() {
    if constexpr (std::is_same_v<T, std::string>) {
        const std::string_view text = read_string(" value");
        if (find_bad_utf8(text) != std::string_view::npos) gguf::check_utf8(text, at(" value"));
        return std::string(text);
    } else if constexpr (std::is_same_v<T, bool>) {
        const auto byte = read<std::uint8_t>(" value");
        check(byte <= 1, at(" value"), ": expected a bool, 0 or 1, found ", int{byte});
        return byte == 1;
    } else {
        return read<T>(" value");
    }
}

// The variants list GGUF's types in the order of their numbers: alternative `Type`
// is type `Type`.
template <std::size_t Type>
MetaValue GgufParser::scalar(std::uint32_t type) {
    using T = std::variant_alternative_t<Type, MetaValue>;
    if constexpr (!std::is_same_v<T, MetaArray>)
        if (type == Type) return element<T>();
    if constexpr (Type + 1 < std::variant_size_v<MetaValue>) return scalar<Type + 1>(type);
    throw Error(concat(at(" type"), ": unknown"));
}

template <std::size_t Type>
MetaArray GgufParser::array(std::uint32_t type, std::uint64_t count) {
    using Array = std::variant_alternative_t<Type, MetaArray>;
    if constexpr (!std::is_same_v<Array, std::monostate>) {
        using T = typename Array::value_type;
        if (type == Type) {
            check_fits(count, std::is_same_v<T, std::string> ? 8 : sizeof(T), " element count");
            Array result;
            result.reserve(static_cast<std::size_t>(count));
            for (std::uint64_t i = 0; i < count; ++i) result.push_back(element<T>());
            return result;
        }
    }
    if constexpr (Type + 1 < std::variant_size_v<MetaArray>)
        return array<Type + 1>(type, count);
    throw Error(concat(at(" element type"), ": unknown"));
}

Shape GgufParser::shape() {
    const auto rank = read<std::uint32_t>(" n_dims");
    check(rank >= 1 && rank <= kMaxRank, at(" n_dims"), ": expected 1 to ", kMaxRank,
          ", found ", rank);
    Index extents[kMaxRank] = {};
    Index product = 1;
    for (std::uint32_t axis = 0; axis < rank; ++axis) {
        const auto extent = read<std::uint64_t>(" extent");
        // A sixteenth of the range, so that the count of bytes cannot overflow either.
        check(extent >= 1 && std::in_range<Index>(extent) &&
                  !__builtin_mul_overflow(product, static_cast<Index>(extent), &product) &&
                  product <= std::numeric_limits<Index>::max() / 16,
              at(" extent "), axis, ": expected 1 or more and fewer than 2^59 numbers in all, ",
              "found ", extent);
        extents[rank - 1 - axis] = static_cast<Index>(extent);  // innermost first -> row-major
    }
    return Shape(std::span<const Index>(extents, rank));
}

void GgufParser::tensor_info(std::uint64_t number) {
    where_ = concat("tensor ", number);
    TensorInfo info;
    info.name = read_string(" name");
    gguf::check_name(info.name, gguf::kLongestTensorName, at(" name"));
    where_ = "tensor " + quote(info.name);
    check(file_.index_.emplace(info.name, number).second, at(""),
          ": expected once, found again as tensor ", number);
    info.shape = shape();
    const auto type = read<std::uint32_t>(" type");
    const auto known = tensor_type_from_number(type);
    check(known.has_value(), at(" type"), ": expected ", gguf::supported_types(), ", found ",
          gguf::numbered_type(type));
    info.type = *known;
    gguf::check_row(info.type, info.shape[info.shape.rank() - 1], at(""));
    offsets_.push_back(read<std::uint64_t>(" offset"));
    file_.tensors_.push_back(std::move(info));
}

// Everything behind the last tensor's description: padding, then data.
void GgufParser::place_tensors() {
    if (file_.tensors_.empty()) return;
    where_ = "";
    const auto start = usize(gguf::align_up(static_cast<Index>(position_), file_.alignment_));
    for (std::byte byte : take(start - position_, "padding before the tensor data"))
        check(byte == std::byte{0}, at("padding before the tensor data"),
              ": expected zeros (is a count in the header too small?), found ",
              std::to_integer<int>(byte));
    for (std::size_t i = 0; i < file_.tensors_.size(); ++i) {
        TensorInfo& info = file_.tensors_[i];
        where_ = "tensor " + quote(info.name);
        const std::uint64_t offset = offsets_[i];
        check(offset % static_cast<std::uint64_t>(file_.alignment_) == 0, at(" offset"),
              ": expected a multiple of ", file_.alignment_, ", found ", offset);
        const auto size = usize(bytes_for(info.type, info.shape.size()));
        check(offset <= left() && size <= left() - offset, at(""), ": expected ", size,
              " bytes of data at offset ", offset, ", found ", left(),
              " bytes of tensor data in the file");
        info.bytes = bytes_.subspan(start + static_cast<std::size_t>(offset), size);
    }
    check_overlaps();
}

void GgufParser::check_overlaps() const {
    std::vector<const TensorInfo*> order;
    for (const TensorInfo& info : file_.tensors_) order.push_back(&info);
    std::sort(order.begin(), order.end(), [](const TensorInfo* a, const TensorInfo* b) {
        return a->bytes.data() < b->bytes.data();
    });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const TensorInfo &before = *order[i - 1], &after = *order[i];
        check(before.bytes.data() + before.bytes.size() <= after.bytes.data(), file_.name_,
              ": tensor ", quote(after.name),
              " offset: expected data of its own, found that of ", quote(before.name));
    }
}

GgufFile GgufFile::open(const std::filesystem::path& path) {
    const auto mapping = std::make_shared<const MappedFile>(path);
    try {
        GgufFile file = parse(mapping->bytes(), path.string());
        mapping->check_whole();
        file.mapping_ = mapping;
        return file;
    } catch (const Error&) {
        mapping->check_whole();  // the better reason, if it is the reason
        throw;
    }
}

GgufFile GgufFile::parse(std::span<const std::byte> bytes, std::string name) {
    return GgufParser(bytes, std::move(name)).parse();
}

const TensorInfo* GgufFile::find(std::string_view tensor_name) const {
    const auto place = index_.find(tensor_name);
    return place == index_.end() ? nullptr : &tensors_[place->second];
}

void GgufFile::release(const TensorInfo& tensor) const {
    if (!mapping_) return;
    mapping_->check_whole();
    mapping_->release(tensor.bytes);
}

}  // namespace kvlab
