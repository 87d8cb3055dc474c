/* Reads a file of certificates as OpenSSL's X509_LOOKUP_load_file() does, and throws them away. */
#include "services/base/certificates.h"
#include "services/base/regular_file.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdbool.h>

/* OpenSSL takes a line for the beginning of a certificate only if nothing stands before it on that
 * line. So a byte order mark, which an editor writes at the beginning of a file, hides the
 * certificate behind it, and the others would be trusted without a word about this one. */
static int refuse_marks(FILE *file, struct error *err)
{
    static const unsigned char mark[] = {0xef, 0xbb, 0xbf};
    size_t matched = 0;
    for (int byte; (byte = getc(file)) != EOF && matched < sizeof(mark);) {
        if (byte == 0) {
            error_set(err, "a NUL in the file: it may be UTF-16, and must be UTF-8");
            return -1;
        }
        matched = byte == mark[matched] ? matched + 1 : byte == mark[0];
    }
    if (matched == sizeof(mark)) {
        error_set(err, "a byte order mark (U+FEFF) in the file");
        return -1;
    }
    rewind(file);
    return 0;
}

int certificates_validate(const char *path, struct error *err)
{
    FILE *file = regular_file_open(path, err);
    if (file == NULL)
        return -1;
    if (refuse_marks(file, err) != 0) {
        (void)fclose(file);
        return -1;
    }
    STACK_OF(X509_INFO) *entries = PEM_X509_INFO_read(file, NULL, NULL, NULL);
    (void)fclose(file);
    bool found = false;
    for (int i = 0; i < sk_X509_INFO_num(entries); i++)
        found = found || sk_X509_INFO_value(entries, i)->x509 != NULL;
    sk_X509_INFO_pop_free(entries, X509_INFO_free);
    ERR_clear_error(); /* else a later look at OpenSSL's errors finds this one */
    if (!found)
        error_set(err, "no certificates in PEM in the file, or broken ones");
    return found ? 0 : -1;
}
