#include "policy/runtime/books.h"

#include <algorithm>

namespace sallyport {
namespace {

void enter(std::vector<BookEntry>& entries, const BookLine& line) {
  const auto there = std::ranges::find(entries, line.entry, &BookEntry::name);
  if (there != entries.end()) {
    there->packets += line.packets;
  } else {
    entries.push_back({.name = std::string(line.entry), .packets = line.packets});
  }
}

}  // namespace

Book draw_up(BookId id, std::span<const BookLine> lines) {
  Book book;
  for (const BookLine& line : lines) {
    const int8_t side = line.sides[static_cast<size_t>(id)];
    if (side > 0) {
      enter(book.in, line);
      book.packets_in += line.packets;
    } else if (side < 0) {
      enter(book.out, line);
      book.packets_out += line.packets;
    }
  }
  return book;
}

std::string imbalance_of_core(std::span<const BookLine> lines) {
  std::string out;
  for (const BookId id : {BookId::outbound, BookId::inbound}) {
    const Book book = draw_up(id, lines);
    if (book.balances()) continue;
    out += (out.empty() ? "" : "; ") + std::string(kBookNames[static_cast<size_t>(id)]) + ": " +
           std::to_string(book.packets_in) + " packets came, " + std::to_string(book.packets_out) +
           " went";
  }
  return out;
}

}  // namespace sallyport
