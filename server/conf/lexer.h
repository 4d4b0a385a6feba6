/* Configuration text to words and punctuation.
 *
 *     word        letters, digits and anything but white space, ; { } " '
 *     "word"      with escapes \n \t \r \\ \" \xHH
 *     'word'      as it stands
 *     # comment   from a # where a word could begin, to the end of the line
 *
 * The text must be UTF-8 without control characters.  What is not is complained about,
 * with its place, and skipped. */
#ifndef SKEP_CONF_LEXER_H
#define SKEP_CONF_LEXER_H

#include "base/str.h"
#include "conf/complaint.h"

enum token_kind { TOKEN_WORD, TOKEN_SEMICOLON, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_END };

struct token {
    enum token_kind kind;
    struct str text; /* of a word, unescaped; lives in the arena or in the input */
    struct text_pos pos;
    bool quoted;
    bool broken; /* was complained about already */
};

struct lexer {
    struct str in;
    size_t at;
    struct text_pos pos;
    struct complaints *complaints;
};

enum { LEXER_WORD_MAX = 65536 };

/* The text must live as long as the tokens. */
void lexer_init(struct lexer *l, const char *file, struct str text, struct complaints *complaints);

/* TOKEN_END for ever once the text is used up. */
struct token lexer_next(struct lexer *l);

#endif
