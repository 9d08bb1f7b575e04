#include "policy/yaml/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <istream>
#include <map>
#include <optional>
#include <spanstream>

#include "policy/yaml/printable.h"

namespace sallyport {
namespace {

/// Thrown to leave the parser once nothing after this point can be trusted.
struct StopParsing {};

bool is_refused(char32_t c) noexcept {
  const bool blank = c == U'\t' || c == U'\r' || c == U'\n';
  return !blank && (is_control(c) || is_direction_control(c));
}

/// Where `text` has its first refused or ill-formed character.
std::optional<size_t> find_control(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (!point.valid || is_refused(point.value)) return at;
    at += point.bytes;
  }
  return {};
}

/// Builds YamlNode trees from yaml-cpp's events and refuses what the language does without.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, Report& report) : text_(text), report_(report) {}

  std::vector<YamlNode> take() { return std::move(documents_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    // Of a ',' where none belongs yaml-cpp makes empty documents without end.
    if (!documents_.empty() && mark.pos == document_pos_) {
      report_.error(line(mark), column(mark), "E001",
                    std::string("not valid YAML: unexpected '") + byte_at(mark) + "'");
      throw StopParsing{};
    }
    document_pos_ = mark.pos;
    documents_.emplace_back();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    YamlNode node = make(YamlNode::Kind::null, mark);
    // An empty value is reported at the token after it: name the key or list it belongs to.
    if (!stack_.empty() && !is_written_null(mark)) {
      node.line = stack_.back().key ? stack_.back().key_line : stack_.back().node.line;
      node.column = stack_.back().key ? stack_.back().key_column : stack_.back().node.column;
    }
    put(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    report_.error(line(mark), column(mark), "E003", "aliases are not allowed",
                  "write the value out");
    put(make(YamlNode::Kind::null, mark));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    YamlNode node = make(YamlNode::Kind::scalar, mark);
    node.scalar = value;
    node.quoted = tag == "!";
    if (node.quoted && !is_closed(mark)) {
      report_.error(node, "E001", "not valid YAML: the quoted text has no end", "close the quote");
    }
    // Escapes such as "\\e" make what check_characters() refuses.
    if (const auto bad = find_control(value)) {
      report_.error(node, "E001",
                    "not valid YAML: control character " +
                        printable(value, *bad, code_point_at(value, *bad)) + " in a value",
                    "remove it");
    }
    put(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(YamlNode::Kind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(YamlNode::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    YamlNode node;
    bool key = false;  ///< In a map: the next value belongs to key_name.
    std::string key_name;
    unsigned key_line = 0;
    unsigned key_column = 0;
    std::map<std::string, unsigned, std::less<>> seen;  ///< Key to its line.
  };

  static unsigned line(const YAML::Mark& mark) { return static_cast<unsigned>(mark.line) + 1; }
  static unsigned column(const YAML::Mark& mark) { return static_cast<unsigned>(mark.column) + 1; }

  char byte_at(const YAML::Mark& mark) const {
    const auto at = static_cast<size_t>(mark.pos);
    return mark.pos >= 0 && at < text_.size() ? text_[at] : '\0';
  }
  /// yaml-cpp takes a quoted scalar that ends with the file, after a line feed, for a whole one.
  bool is_closed(const YAML::Mark& mark) const {
    const char quote = byte_at(mark);
    if (quote != '"' && quote != '\'') return true;
    for (auto at = static_cast<size_t>(mark.pos) + 1; at < text_.size(); ++at) {
      const bool pair = text_.substr(at).starts_with("''");
      if (quote == '"' ? text_[at] == '\\' : pair) {
        ++at;  // An escape: what follows is not the end.
      } else if (text_[at] == quote) {
        return true;
      }
    }
    return false;
  }
  bool is_written_null(const YAML::Mark& mark) const {
    const char c = byte_at(mark);
    return c == '~' || c == 'n' || c == 'N';
  }

  static YamlNode make(YamlNode::Kind kind, const YAML::Mark& mark) {
    YamlNode node;
    node.kind = kind;
    node.line = line(mark);
    node.column = column(mark);
    return node;
  }

  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor == YAML::NullAnchor) return;
    report_.error(line(mark), column(mark), "E003", "anchors are not allowed",
                  "write the value out wherever it is needed");
  }

  /// yaml-cpp gives "?" to what has no tag and "!" to quoted scalars, but "!" also to an explicit
  /// non-specific tag; the byte at the node's start tells them apart.
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    const bool plain = tag.empty() || tag == "?" || (tag == "!" && byte_at(mark) != '!');
    if (plain) return;
    report_.error(line(mark), column(mark), "E004", "tags are not allowed", "remove '" + tag + "'");
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (stack_.size() >= kMaxYamlDepth) {
      report_.error(line(mark), column(mark), "E006",
                    "nested more than " + std::to_string(kMaxYamlDepth) + " deep");
      throw StopParsing{};
    }
    Level level;
    level.node = make(kind, mark);
    stack_.push_back(std::move(level));
  }

  void close() {
    YamlNode node = std::move(stack_.back().node);
    stack_.pop_back();
    put(std::move(node));
  }

  void put(YamlNode node) {
    if (report_.full()) {
      report_.error(node, kTooManyErrorsCode, "the rest of the file is not read");
      throw StopParsing{};
    }
    if (++nodes_ > kMaxYamlNodes) {
      report_.error(node, "E007",
                    "the file holds over " + std::to_string(kMaxYamlNodes) + " values", "split it");
      throw StopParsing{};
    }
    if (stack_.empty()) {
      documents_.back() = std::move(node);
      return;
    }
    Level& level = stack_.back();
    if (level.node.kind == YamlNode::Kind::sequence) {
      level.node.items.push_back(std::move(node));
    } else if (level.key) {
      level.key = false;
      level.node.entries.push_back(
          {std::move(level.key_name), level.key_line, level.key_column, std::move(node)});
    } else {
      put_key(level, node);
    }
  }

  void put_key(Level& level, const YamlNode& key) {
    level.key = true;
    level.key_name = key.scalar;
    level.key_line = key.line;
    level.key_column = key.column;
    if (key.kind != YamlNode::Kind::scalar) {
      report_.error(key, "E005", "a key must be a plain string");
      return;
    }
    const auto [first, added] = level.seen.try_emplace(key.scalar, key.line);
    if (!added) {
      report_.error(key, "E002", "key '" + key.scalar + "' is given twice",
                    "first on line " + std::to_string(first->second));
    }
  }

  std::string_view text_;
  Report& report_;
  std::vector<Level> stack_;
  std::vector<YamlNode> documents_;
  int document_pos_ = 0;  ///< Where the last of them starts.
  size_t nodes_ = 0;
};

/// Reports what YAML does not allow in a text (section 5.1 of YAML 1.2), and direction controls: a
/// reviewer must see what the gateway reads.
void check_characters(std::string_view text, Report& report) {
  unsigned line = 1;
  size_t line_start = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    const auto column = static_cast<unsigned>(at - line_start) + 1;
    if (!point.valid) {
      report.error(line, column, "E001",
                   "not valid YAML: " + printable(text, at, point) + " is not UTF-8",
                   "save the file as UTF-8");
      return;  // Of another encoding every line would be wrong.
    }
    if (is_refused(point.value)) {
      report.error(line, column, "E001",
                   "not valid YAML: control character " + printable(text, at, point), "remove it");
      if (report.full()) return;
    }
    at += point.bytes;
    if (point.value != U'\n') continue;
    ++line;
    line_start = at;
  }
}

void parse_all(std::string_view text, TreeBuilder& builder, Report& report) {
  try {
    std::ispanstream in{std::span<const char>(text)};
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const StopParsing&) {  // Reported where it was thrown.
    return;
  } catch (const YAML::Exception& error) {
    const auto at = [](int zero_based) {
      return static_cast<unsigned>(std::max(zero_based, 0)) + 1;
    };
    report.error(at(error.mark.line), at(error.mark.column), "E001",
                 "not valid YAML: " + error.msg);
  } catch (const std::exception& error) {
    report.error(0, 0, "E001", std::string("not valid YAML: ") + error.what());
  }
}

}  // namespace

std::expected<std::vector<YamlNode>, std::vector<Diagnostic>> parse_yaml(const SourceFile& source) {
  Report report(source.name);
  std::string_view text = source.text;
  if (text.size() > kMaxYamlBytes) {
    report.error(0, 0, "E007", "the file is over " + std::to_string(kMaxYamlBytes >> 20) + " MiB",
                 "split it");
    return std::unexpected(report.take());
  }
  // yaml-cpp would take a NUL for the end of the text, and UTF-16 for UTF-8.
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xff\xfe") ||
      text.starts_with("\xfe\xff")) {
    report.error(0, 0, "E001", "not valid YAML: the file is not UTF-8 text", "save it as UTF-8");
    return std::unexpected(report.take());
  }
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());

  check_characters(text, report);
  if (!report.ok()) return std::unexpected(report.take());
  TreeBuilder builder(text, report);
  parse_all(text, builder, report);
  if (!report.ok()) return std::unexpected(report.take());
  return builder.take();
}

}  // namespace sallyport
