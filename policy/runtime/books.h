#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport {

/// The books of the packet path: what came into it is what went out of it, to the packet. A core
/// keeps two, by where its packets go; the third is of all cores together. Which counters stand in
/// which, and on which side, is written beside each counter in the stats segment.
enum class BookId : uint8_t { outbound, inbound, between_cores };
inline constexpr size_t kBooks = 3;
inline constexpr std::array<std::string_view, kBooks> kBookNames{"towards outside",
                                                                 "towards inside", "between cores"};

/// A counter's side in each book, by BookId: 1 packets came in, -1 they went out, 0 it has no part.
using BookSides = std::array<int8_t, kBooks>;

/// A counter's value, as it stands in the books.
struct BookLine {
  std::string_view entry;  ///< What happened to the packets: "received", "dropped: denied".
  BookSides sides{};
  uint64_t packets = 0;
};

struct BookEntry {
  std::string name;
  uint64_t packets = 0;
};

struct Book {
  std::vector<BookEntry> in;  ///< In the order of the counters. Those of one name are added up.
  std::vector<BookEntry> out;
  uint64_t packets_in = 0;
  uint64_t packets_out = 0;

  /// Packets that came and are nowhere; negative: that went and came from nowhere. While packets
  /// are under way a core has some in its hands that stand nowhere yet.
  int64_t difference() const noexcept { return static_cast<int64_t>(packets_in - packets_out); }
  bool balances() const noexcept { return packets_in == packets_out; }
};

/// Draws up a book from lines of one core, or, between cores, of all.
Book draw_up(BookId id, std::span<const BookLine> lines);

/// Of the books of one core: "towards outside: 10 came, 9 went", or "" when both balance.
std::string imbalance_of_core(std::span<const BookLine> lines);

}  // namespace sallyport
