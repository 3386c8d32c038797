"""The tasks, found by ``autodiscover_tasks``."""

from celery import shared_task

from examples.django_shop.orders.models import Closing, Order


@shared_task(name="orders.ship")
def ship(order_id):
    """Fails if it comes before the commit of its order."""
    order = Order.objects.get(pk=order_id)
    order.state = "shipped"
    order.save()
    return order.article


@shared_task(name="orders.close_day")
def close_day():
    Closing.objects.create(shipped=Order.objects.filter(state="shipped").count())
