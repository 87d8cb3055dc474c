/* An error begins with a word in capital letters that tells its kind (redis.io, "RESP protocol
 * spec", simple errors). */
#include "services/clients/redis/redis_login.h"

const char redis_remove_script[] =
    "if redis.call('TTL',KEYS[1])<=tonumber(ARGV[1]) then return redis.call('DEL',KEYS[1]) end "
    "return 0";

const char redis_keep_script[] =
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('EXPIRE',KEYS[1],ARGV[2]) end "
    "return 0";

size_t redis_login(const struct redis_options *options,
                   struct redis_login_command ret_commands[REDIS_LOGIN_COMMANDS])
{
    const char *username = options->username, *password = options->password;
    const struct redis_word key =
        REDIS_WORD(REDIS_KEY_PREFIX "00000000-0000-0000-0000-000000000000");
    const struct redis_word second = REDIS_WORD("1"), one = REDIS_WORD("1");
    size_t count = 0;
    if (password != NULL && username != NULL)
        ret_commands[count++] = (struct redis_login_command){
            {REDIS_WORD("AUTH"), redis_word(username), redis_word(password)}, 3};
    else if (password != NULL)
        ret_commands[count++] =
            (struct redis_login_command){{REDIS_WORD("AUTH"), redis_word(password)}, 2};
    ret_commands[count++] =
        (struct redis_login_command){{REDIS_WORD("SET"), key, REDIS_WORD(""), REDIS_WORD("NX"),
                                      REDIS_WORD("GET"), REDIS_WORD("EX"), second},
                                     7};
    ret_commands[count++] = (struct redis_login_command){{REDIS_WORD("EXPIRE"), key, second}, 3};
    ret_commands[count++] = (struct redis_login_command){{REDIS_WORD("GET"), key}, 2};
    ret_commands[count++] = (struct redis_login_command){
        {REDIS_WORD("EVAL"), redis_word(redis_remove_script), one, key, second}, 5};
    return count;
}

bool redis_error_is_the_servers(const char *error)
{
    /* About one command, one key or one script. */
    static const char *const others[] = {"ERR", "WRONGTYPE", "NOSCRIPT"};
    size_t len = strcspn(error, " ");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strlen(others[i]) == len && memcmp(error, others[i], len) == 0)
            return false;
    return true;
}
