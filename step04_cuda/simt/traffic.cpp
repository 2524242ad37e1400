// traffic.cpp - chapter 4: sectors and wavefronts of one warp.
#include "traffic.hpp"

#include <algorithm>
#include <bit>

namespace kvlab::simt {

namespace {

constexpr std::uintptr_t kSectorBytes = 32, kWordBytes = 4, kBanks = 32;

}  // namespace

void Traffic::add(unsigned lane,
                  std::uint64_t place,
                  bool shared,
                  bool store,
                  std::uintptr_t address,
                  std::size_t bytes) {
    Site& site = sites_[place];
    site.shared = shared;
    site.store = store;
    const std::uint32_t turn = site.executed[lane]++;
    if (turn >= site.requests.size()) site.requests.resize(turn + 1);
    Request& request = site.requests[turn];
    // 32 units make a line: bytes of a sector, or words of a row of banks.
    const std::uintptr_t unit = shared ? kWordBytes : 1;
    for (std::uintptr_t at = address / unit; at <= (address + bytes - 1) / unit; ++at) {
        const std::uintptr_t number = at / 32;
        const auto same = std::find_if(request.begin(), request.end(),
                                       [&](const Line& line) { return line.number == number; });
        Line& line = same != request.end() ? *same : request.emplace_back(Line{number, 0});
        line.touched |= std::uint32_t{1} << (at % 32);
    }
}

void Traffic::flush(Counters& counters) {
    for (const auto& [place, site] : sites_) {
        for (const Request& request : site.requests) {
            Index touched = 0;
            std::array<Index, kBanks> words{};  // that each bank has to serve
            for (const Line& line : request) {
                touched += std::popcount(line.touched);
                for (unsigned bank = 0; bank < kBanks; ++bank)
                    words[bank] += (line.touched >> bank) & 1;
            }
            const auto up = [&](std::uintptr_t by) {
                return (touched + static_cast<Index>(by) - 1) / static_cast<Index>(by);
            };
            if (site.shared) {
                SharedTraffic& sum =
                    site.store ? counters.shared_stores : counters.shared_loads;
                ++sum.requests;
                sum.wavefronts += *std::max_element(words.begin(), words.end());
                sum.minimal += up(kBanks);
            } else {
                GlobalTraffic& sum = site.store ? counters.stores : counters.loads;
                ++sum.requests;
                loads_ += site.store ? 0 : 1;
                sum.sectors += std::ssize(request);
                sum.minimal += up(kSectorBytes);
            }
        }
    }
    sites_.clear();
    counters.most_loads = std::max(counters.most_loads, loads_);
}

}  // namespace kvlab::simt
