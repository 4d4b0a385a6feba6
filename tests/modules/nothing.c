/* A shared object that is no module. */
int nothing_at_all(void);
int nothing_at_all(void)
{
    return 42;
}
