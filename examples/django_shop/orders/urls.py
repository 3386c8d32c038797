"""One page, which takes an order."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path

from examples.django_shop.orders.models import Order
from examples.django_shop.orders.tasks import ship


class SoldOutError(Exception):
    """Rolls the order back."""


def order(request: HttpRequest, article: str) -> JsonResponse:
    """Store the order and ship it, both or neither."""
    try:
        with transaction.atomic():
            placed = Order.objects.create(article=article)
            ship.delay_on_commit(placed.pk)
            if article == "unicorn":
                raise SoldOutError
    except SoldOutError:
        return JsonResponse({"error": "sold out"}, status=409)
    return JsonResponse({"id": placed.pk}, status=201)


urlpatterns = [path("orders/<str:article>", order)]
