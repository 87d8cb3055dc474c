/* The program bridge. */
#include "services/bridge/settings.h"

int main(int argc, char **argv)
{
    return service_main(&bridge_service, argc, argv);
}
