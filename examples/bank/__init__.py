"""
A bank whose accounts are nothing but their events: read `events.py`, then `account.py`.

    tailrace events history account-1
    tailrace events at account-1 --aggregate examples.bank.account:account
"""
