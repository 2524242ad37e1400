#include <kvlab/architectures/registry.hpp>

#include <algorithm>

#include <kvlab/tensor/text.hpp>

#include "mixer_list.hpp"

namespace kvlab {

Index MixerPlan::number(const char* key, Index least, Index most) const {
    const std::string name = concat("kvlab.", key);
    const Index value = metadata.get_index(name);
    check(value >= least && value <= most, metadata.source(), ": ", name, ": expected ", least,
          " to ", most, ", found ", value);
    return value;
}

std::span<const MixerEntry> all_mixers() {
    static const std::vector<MixerEntry> entries = [] {
        std::vector<MixerEntry> all;
        for (const auto& list : kMixerFiles) {
            const std::span<const MixerEntry> of_file = list();
            all.insert(all.end(), of_file.begin(), of_file.end());
        }
        std::ranges::stable_sort(all, {}, &MixerEntry::place);
        return all;
    }();
    return entries;
}

const MixerEntry& find_mixer(const std::string& name) {
    const auto all = all_mixers();
    const auto found =
        std::ranges::find(all, std::string_view(name),
                          [](const MixerEntry& entry) { return std::string_view(entry.name); });
    if (found != all.end()) return *found;
    std::string names;
    for (const MixerEntry& entry : all)
        names += (names.empty() ? "" : ", ") + std::string(entry.name);
    throw Error(concat("there is no mixer ", quote(name), "; expected one of ", names));
}

}  // namespace kvlab
